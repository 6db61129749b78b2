"""Stratified parts of a labelled set, fixed by a seed."""

import numpy as np

from cifar_exp.errors import UserError


def stratified_part(labels: np.ndarray, count: int, seed: tuple[int, int]) -> np.ndarray:
    """Return sorted positions of `count` of the labels, each class in proportion; all of them if there are fewer.

    With one seed a smaller part lies in a larger one, but for the rounding of classes.
    """
    if count >= len(labels):
        return np.arange(len(labels))
    sizes = np.bincount(labels)
    rng = np.random.default_rng(seed)
    return _draw(labels, _counts(sizes, sizes, count, rng), rng)


def hold_out(labels: np.ndarray, fraction: float, seed: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return sorted positions of those that stay and of the stratified `fraction` that is held out.

    Every class keeps at least one.

    Raises:
        UserError: nothing would be held out.
    """
    sizes = np.bincount(labels)
    spare = np.maximum(sizes - 1, 0)
    count = min(round(len(labels) * fraction), int(spare.sum()))
    if count == 0:
        raise UserError(
            f"data.val_fraction={fraction} of {len(labels)} training images of {np.count_nonzero(sizes)} classes "
            "leaves no image for validation (each class keeps one for training): "
            "a larger data.val_fraction or more training images (data.train_limit) are needed."
        )
    rng = np.random.default_rng(seed)
    held = _draw(labels, _counts(sizes, spare, count, rng), rng)
    kept = np.ones(len(labels), dtype=bool)
    kept[held] = False
    return np.flatnonzero(kept), held


def _counts(sizes: np.ndarray, limits: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return how many of each class make `count`: proportional, rounded by largest remainder, ties by chance."""
    exact = sizes * (count / sizes.sum())
    counts = np.minimum(np.floor(exact).astype(np.int64), limits)
    order = np.lexsort((rng.random(len(sizes)), counts - exact))
    while counts.sum() < count:
        for label in order:
            if counts.sum() < count and counts[label] < limits[label]:
                counts[label] += 1
    return counts


def _draw(labels: np.ndarray, counts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    drawn = [rng.permutation(np.flatnonzero(labels == label))[:count] for label, count in enumerate(counts)]
    return np.sort(np.concatenate(drawn))

"""Where images come from, and how they become a training, a validation and a test set."""

import contextlib
import logging
import sys
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cifar_exp.data import synthetic
from cifar_exp.data.cache import cache_directory, cached_images
from cifar_exp.data.decode import decode_files
from cifar_exp.data.describe import describe
from cifar_exp.data.folder import find_root, list_images
from cifar_exp.data.images import ImageSet
from cifar_exp.data.settings import DataConfig
from cifar_exp.errors import UserError
from cifar_exp.files import expanded

log = logging.getLogger(__name__)

# Streams of data.split_seed, so that one choice leaves the others as they are
TRAIN_LIMIT, HOLD_OUT, TEST_LIMIT = 0, 1, 2


def load_train_val(data: DataConfig) -> tuple[ImageSet, ImageSet]:
    """Return the training images, limited first, and the validation images, which are held out of them.

    Raises:
        UserError: images that are missing or broken, or too few of them.
    """
    everything = _load(data, "train")
    labels = everything.labels.numpy()
    part = stratified_part(labels, data.train_limit or len(labels), (data.split_seed, TRAIN_LIMIT))
    kept, held = hold_out(labels[part], data.val_fraction, (data.split_seed, HOLD_OUT))
    return everything.take(part[kept]), everything.take(part[held])


def load_test(data: DataConfig) -> ImageSet:
    """Return the test images, limited; raises as `load_train_val`."""
    everything = _load(data, "test")
    if data.test_limit is None or data.test_limit >= len(everything):
        return everything
    return everything.take(stratified_part(everything.labels.numpy(), data.test_limit, (data.split_seed, TEST_LIMIT)))


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


def _load(data: DataConfig, split: str) -> ImageSet:
    names = describe(data).class_names
    if data.name == "folder":
        pixels, labels = _load_folder(data, split, names)
    elif data.name == "synthetic":
        count = data.train_size if split == "train" else data.test_size
        pixels, labels = synthetic.make_images(
            count or 0, len(names), data.image_size, seed=(data.split_seed, int(split == "test"))
        )
    else:
        pixels, labels = _load_cifar(data, split)
    return ImageSet.from_pixels(torch.from_numpy(pixels), torch.from_numpy(labels), names)


def _load_folder(data: DataConfig, split: str, names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    root = find_root(data.root)
    listing = list_images(root, split, names)
    if listing.ignored:
        log.warning("data.root: '%s' contains %s", root / split, listing.ignored)
    size = data.image_size
    pixels = cached_images(
        cache_directory(data.cache_dir) / "folders",
        source=f"{root / split} {size}",
        fingerprint=listing.fingerprint,
        shape=(len(listing.files), size, size, 3),
        make=lambda: decode_files(listing.files, size),
    )
    return pixels, np.asarray(listing.labels, dtype=np.int64)


def _load_cifar(data: DataConfig, split: str) -> tuple[np.ndarray, np.ndarray]:
    from torchvision.datasets import CIFAR10, CIFAR100  # half a second that other sources need not wait

    dataset = CIFAR10 if data.name == "cifar10" else CIFAR100
    root = expanded(data.root) if data.root else cache_directory(data.cache_dir) / "torchvision"
    train = split == "train"
    try:
        images = dataset(str(root), train=train)
    except (RuntimeError, OSError):  # not there, not readable, or not what the checksums say
        images = _download(dataset, root, train)
    return images.data, np.asarray(images.targets, dtype=np.int64)


def _download(dataset: Any, root: Path, train: bool) -> Any:
    try:
        root.mkdir(parents=True, exist_ok=True)
        with contextlib.redirect_stdout(sys.stderr):
            return dataset(str(root), train=train, download=True)
    except (OSError, RuntimeError, EOFError, HTTPException) as error:
        raise UserError(
            f"data.root: the images are not in '{root}' and could not be downloaded: {error}\n"
            f"Check the connection, or put {dataset.filename} (from {dataset.url}) there by hand.\n"
            "data.root=DIR names another place; data=synthetic needs no download."
        ) from error

"""The random numbers of one epoch: its order and its augmentation, a function of (seed, epoch) alone.

They are drawn on the host for the whole epoch at once and moved to the device together. Each kind has a
stream of its own, so that switching one augmentation on or off leaves all the others as they were.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from cifar_exp.data.settings import AugmentConfig

ORDER, SHIFT, MIRRORED, DEGREES, HOLE, FRACTION, BOX, KIND = range(8)


@dataclass(frozen=True)
class Draws:
    """One row per image, in the order of the epoch; None for what is off."""

    order: Tensor  # int64 (N,): which image
    shift: Tensor | None = None  # int64 (N, 2): top, left of the crop
    mirrored: Tensor | None = None  # int64 (N,): 1 for a mirror image
    degrees: Tensor | None = None  # float (N,)
    hole: Tensor | None = None  # int64 (N, 4): cutout's top, bottom, left, right
    fraction: Tensor | None = None  # float (N,): mixup's fraction of the image itself
    box: Tensor | None = None  # int64 (N, 4): cutmix's top, bottom, left, right
    padding: int = 0
    blends: bool = False  # whether any fraction is below 1

    def rows(self, part: slice | Tensor) -> Self:
        """Return the numbers of a part of the epoch."""
        return replace(self, **{name: value[part] for name, value in self._tensors().items()})

    def to(self, device: torch.device) -> Self:
        """Return the same numbers on another device."""
        staged = device.type == "cuda"  # elsewhere a copy may read these tensors after they are gone
        return replace(self, **{name: value.to(device, non_blocking=staged) for name, value in self._tensors().items()})

    def _tensors(self) -> dict[str, Any]:
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {name: value for name, value in values if isinstance(value, Tensor)}


def draw_epoch(
    config: AugmentConfig, count: int, image_size: int, *, seed: int, epoch: int, mixing: bool = True
) -> Draws:
    """Return all random numbers of one epoch over `count` images of `image_size` × `image_size` pixels.

    `mixing`: whether this epoch uses mixup and cutmix, where the config has them.
    """

    def stream(kind: int) -> np.random.Generator:
        return np.random.default_rng((seed, epoch, kind))

    drawn: dict[str, np.ndarray] = {}
    if config.crop_padding:
        drawn["shift"] = stream(SHIFT).integers(0, 2 * config.crop_padding + 1, (count, 2))
    if config.flip:
        drawn["mirrored"] = stream(MIRRORED).integers(0, 2, count)
    if config.rotate:
        drawn["degrees"] = stream(DEGREES).uniform(-config.rotate, config.rotate, count).astype(np.float32)
    if config.cutout:
        centre = stream(HOLE).integers(0, image_size, (count, 2))
        drawn["hole"] = _boxes(centre, np.full(count, config.cutout), image_size)
    if mixing and config.mixes:
        drawn |= _draw_mixing(config, count, image_size, stream)
    tensors = {name: torch.from_numpy(values) for name, values in drawn.items()}
    return Draws(
        order=torch.from_numpy(stream(ORDER).permutation(count)),
        padding=config.crop_padding,
        blends=bool(mixing and config.mixup),
        **tensors,
    )


def _draw_mixing(
    config: AugmentConfig, count: int, image_size: int, stream: Callable[[int], np.random.Generator]
) -> dict[str, np.ndarray]:
    """Return mixup's fractions and cutmix's boxes; with both on, an even chance decides which an image gets."""
    cut = np.full(count, config.cutmix > 0)
    if config.mixup and config.cutmix:
        cut = stream(KIND).random(count) < 0.5
    fraction = np.ones(count, dtype=np.float32)
    if config.mixup:
        fraction = np.where(cut, 1.0, stream(FRACTION).beta(config.mixup, config.mixup, count)).astype(np.float32)
    if not config.cutmix:
        return {"fraction": fraction}
    rng = stream(BOX)
    kept = rng.beta(config.cutmix, config.cutmix, count)
    sides = np.where(cut, np.rint(image_size * np.sqrt(1 - kept)), 0).astype(np.int64)
    return {"fraction": fraction, "box": _boxes(rng.integers(0, image_size, (count, 2)), sides, image_size)}


def _boxes(centre: np.ndarray, sides: np.ndarray, image_size: int) -> np.ndarray:
    """Return squares around `centre` (N, 2), cut at the image's edge: (N, 4), top, bottom, left, right."""
    start = centre - sides[:, None] // 2
    stop = start + sides[:, None]
    edges = np.stack((start, stop), axis=2).clip(0, image_size)
    return edges.reshape(-1, 4).astype(np.int64)

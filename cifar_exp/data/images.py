"""A set of labelled images in memory.

Shapes: N images, C channels, H height, W width.
"""

import hashlib
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

IMAGES_AT_ONCE = 1024
STD_FLOOR = 1.0  # of 255: a constant channel must not be divided by 0


@dataclass(frozen=True)
class ImageSet:
    """Images uint8 (N, C, H, W), 0–255, stored pixel by pixel (channels_last); labels int64 (N,)."""

    images: Tensor
    labels: Tensor
    class_names: tuple[str, ...]

    @classmethod
    def from_pixels(cls, pixels_NHWC: Tensor, labels: Tensor, class_names: tuple[str, ...]) -> Self:  # noqa: N803
        """Return a set from uint8 (N, H, W, C), without a copy."""
        return cls(pixels_NHWC.permute(0, 3, 1, 2), labels, class_names)

    @property
    def pixels_NHWC(self) -> Tensor:  # noqa: N802
        """The same memory as a contiguous (N, H, W, C)."""
        return self.images.permute(0, 2, 3, 1)

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, positions: np.ndarray) -> Self:
        """Return a copy of the images at these positions."""
        index = torch.from_numpy(positions)
        pixels = self.pixels_NHWC.index_select(0, index)
        return self.from_pixels(pixels, self.labels.index_select(0, index), self.class_names)

    def to(self, device: torch.device) -> Self:
        """Return the same set on another device."""
        return type(self)(self.images.to(device), self.labels.to(device), self.class_names)


def channel_statistics(data: ImageSet) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of each channel over all pixels: float32 (C,), in 0–255 units.

    Sums are exact integers and the rest is float64; a standard deviation is at least 1.
    """
    values_an_image = data.images[0].numel()
    total = torch.zeros(values_an_image, dtype=torch.int64)
    squares = torch.zeros_like(total)
    for pixels in data.pixels_NHWC.split(IMAGES_AT_ONCE):
        values = pixels.reshape(len(pixels), -1).to(torch.int32)
        total += values.sum(0).cpu()
        squares += values.square_().sum(0).cpu()
    channels = data.images.shape[1]
    count = len(data) * values_an_image // channels
    mean = total.view(-1, channels).sum(0).double() / count
    mean_square = squares.view(-1, channels).sum(0).double() / count
    std = (mean_square - mean.square()).clamp(min=STD_FLOOR**2).sqrt()
    return mean.float(), std.float()


def fingerprint(*parts: ImageSet) -> str:
    """Return the SHA-256 of the decoded images of a run, as 64 hexadecimal digits.

    It depends on nothing but pixels, labels and their order: not on file names, paths, times, the device or the cache.

    Args:
        parts: the training, validation and test images, in this order.
    """
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{tuple(part.pixels_NHWC.shape)} {part.pixels_NHWC.dtype}\n".encode())
        for values in (part.pixels_NHWC, part.labels):
            digest.update(values.cpu().contiguous().numpy().data.cast("B"))
    return digest.hexdigest()

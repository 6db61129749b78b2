"""The operations of a network that need memory of their own: for each, its output shape, its cost and its module.

Shapes are (channels, height, width) of one image, or (features,) after the pool. Parameters are counted as Keras'
`count_params` does: running statistics are in `params`, not in `trainable_params`. MACs are those of one image;
bias, norm, activation, pool and add count none.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from torch import nn

Shape = tuple[int, ...]


def strided_size(size: int, stride: int) -> int:
    """`ceil(size / stride)`: what padding "same" leaves of a map."""
    return -(-size // stride)


class Op:
    """One operation on one tensor; no `ABC`, whose slow `isinstance` takes half the time of a plan."""

    in_place: ClassVar[bool] = False  # writes its output over its input
    acts_at_inference: ClassVar[bool] = True  # False: passes its input on unchanged
    params: int = 0
    trainable_params: int = 0
    macs: int = 0
    in_shape: Shape
    out_shape: Shape
    label: str  # its name in the layer table

    @abstractmethod
    def module(self) -> nn.Module:
        """Return the module that does it, freshly initialised."""


@dataclass
class Conv(Op):
    """A 2-d convolution that keeps the map at ceil(size / stride)."""

    in_shape: Shape
    channels: int
    kernel_size: int = 1
    stride: int = 1
    dilation: int = 1
    groups: int = 1
    bias: bool = True

    def __post_init__(self) -> None:
        in_channels, height, width = self.in_shape
        height, width = strided_size(height, self.stride), strided_size(width, self.stride)
        self.out_shape = (self.channels, height, width)
        weights = self.kernel_size * self.kernel_size * (in_channels // self.groups) * self.channels
        self.params = self.trainable_params = weights + (self.channels if self.bias else 0)
        self.macs = height * width * weights

    @property
    def label(self) -> str:  # type: ignore[override]
        kind = "conv" if self.groups == 1 else "depthwise" if self.groups == self.in_shape[0] else "grouped conv"
        return f"{kind} {self.kernel_size}×{self.kernel_size}" + (f" /{self.stride}" if self.stride > 1 else "")

    def module(self) -> nn.Module:
        from cifar_exp.network.modules import same_conv

        return same_conv(self)


@dataclass
class PadChannels(Op):
    """Subsamples the map and appends zero channels: He et al. 2016 (arXiv:1512.03385), §3.3, option A."""

    in_shape: Shape
    out_shape: Shape
    stride: int
    label = "pad"

    def module(self) -> nn.Module:
        from cifar_exp.network.modules import PadShortcut

        return PadShortcut(self.stride, self.out_shape[0] - self.in_shape[0])


@dataclass
class MixedDepthwise(Op):
    """A depthwise convolution with its channels split over several kernels (MixConv, arXiv:1907.09595, §3.1).

    A kernel of size 1 is the pixel itself: its split passes as it is and costs nothing (as the identity branch of
    InceptionNeXt, arXiv:2303.16900, §3.2).
    """

    in_shape: Shape
    kernel_sizes: tuple[int, ...]
    dilations: tuple[int, ...]  # one a kernel
    stride: int = 1
    bias: bool = True

    def __post_init__(self) -> None:
        channels, height, width = self.in_shape
        self.out_shape = (channels, strided_size(height, self.stride), strided_size(width, self.stride))
        self.params = self.trainable_params = sum(part.params for part in self.parts)
        self.macs = sum(part.macs for part in self.parts)

    @property
    def splits(self) -> list[int]:
        """Channels of each kernel; the first ones take what does not divide."""
        share, left = divmod(self.in_shape[0], len(self.kernel_sizes))
        return [share + (index < left) for index in range(len(self.kernel_sizes))]

    @cached_property
    def parts(self) -> list[Op]:
        """What happens to each split."""
        return [self._part(*of_split) for of_split in zip(self.splits, self.kernel_sizes, self.dilations, strict=True)]

    def _part(self, split: int, kernel: int, dilation: int) -> Op:
        in_shape, out_shape = (split, *self.in_shape[1:]), (split, *self.out_shape[1:])
        if kernel == 1:
            return PadChannels(in_shape, out_shape, self.stride)
        return Conv(in_shape, split, kernel, self.stride, dilation, split, self.bias)

    @property
    def label(self) -> str:  # type: ignore[override]
        kernels = (
            f"{kernel}" + (f"·{dilation}" if dilation > 1 and kernel > 1 else "")
            for kernel, dilation in zip(self.kernel_sizes, self.dilations, strict=True)
        )
        return f"mixed depthwise {'/'.join(kernels)}"

    def module(self) -> nn.Module:
        from cifar_exp.network.modules import SplitChannels

        return SplitChannels(self.splits, [part.module() for part in self.parts])


@dataclass
class Dense(Op):
    """A dense layer with bias."""

    in_shape: Shape
    features: int
    label = "dense"

    def __post_init__(self) -> None:
        self.out_shape = (self.features,)
        self.macs = self.in_shape[0] * self.features
        self.params = self.trainable_params = self.macs + self.features

    def module(self) -> nn.Module:
        from torch import nn

        layer = nn.Linear(self.in_shape[0], self.features)
        nn.init.zeros_(layer.bias)
        return layer


@dataclass
class Pool(Op):
    """The largest or the mean value of each window; those at the edges may be smaller."""

    in_shape: Shape
    kind: str
    size: int | None = None  # side of the windows; None: one window, the whole map, which leaves features

    def __post_init__(self) -> None:
        channels, height, width = self.in_shape
        if self.size is None:
            self.window, self.out_shape = (height, width), (channels,)
        else:
            self.window = (self.size, self.size)
            self.out_shape = (channels, strided_size(height, self.size), strided_size(width, self.size))

    @property
    def label(self) -> str:  # type: ignore[override]
        return f"{self.kind} pool {self.window[0]}×{self.window[1]}"

    def module(self) -> nn.Module:
        from torch import nn

        pool = nn.MaxPool2d if self.kind == "max" else nn.AvgPool2d
        if self.size is None:
            return nn.Sequential(pool(self.window), nn.Flatten())
        return pool(self.size, ceil_mode=True)

"""How a skip is brought to the shape of the layer that it is added to.

A new projection is one small class here. None of them has a norm.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

from cifar_exp.network.ops import Conv, Op, PadChannels, Shape, strided_size

PROJECTIONS: dict[str, type["Projection"]] = {}


class Projection(ABC):
    """A way from one map's shape to another's."""

    name: ClassVar[str]

    def __init_subclass__(cls) -> None:
        PROJECTIONS[cls.name] = cls

    @staticmethod
    @abstractmethod
    def op(source: Shape, target: Shape, stride: int, bias: bool) -> Op:
        """Return the operation. Raises ValueError, in the user's words, where it cannot be done."""


class Conv1x1(Projection):
    """A 1×1 convolution of every `stride`-th pixel (He et al., arXiv:1512.03385, §3.3, option B)."""

    name = "conv1x1"

    @staticmethod
    def op(source: Shape, target: Shape, stride: int, bias: bool) -> Op:
        return Conv(source, target[0], stride=stride, bias=bias)


class Depthwise1x1(Projection):
    """A 1×1 convolution per channel, a scale and a bias; a multiple of the channels repeats them."""

    name = "depthwise1x1"

    @staticmethod
    def op(source: Shape, target: Shape, stride: int, bias: bool) -> Op:
        if target[0] % source[0]:
            raise ValueError(f"depthwise1x1 cannot make {target[0]} channels of {source[0]}: not a multiple")
        return Conv(source, target[0], stride=stride, groups=source[0], bias=bias)


class Pad(Projection):
    """Subsampling and zero channels, without parameters (He et al., arXiv:1512.03385, §3.3, option A)."""

    name = "pad"

    @staticmethod
    def op(source: Shape, target: Shape, stride: int, bias: bool) -> Op:
        if target[0] < source[0]:
            raise ValueError(f"pad cannot make {target[0]} channels of {source[0]}: it only adds channels")
        return PadChannels(source, target, stride)


class Identity(Projection):
    """Nothing: the shapes must be the same. A skip that fits needs no projection, so this is always an error."""

    name = "identity"

    @staticmethod
    def op(source: Shape, target: Shape, stride: int, bias: bool) -> Op:
        raise ValueError("identity needs equal shapes; conv1x1, depthwise1x1 and pad change them")


def stride_between(source: Shape, target: Shape) -> int:
    """Return the stride that takes a map of `source`'s size to one of `target`'s. Raises ValueError without one."""
    stride = strided_size(source[1], target[1])
    if (strided_size(source[1], stride), strided_size(source[2], stride)) != target[1:]:
        raise ValueError("no stride takes one map's size to the other's")
    return stride

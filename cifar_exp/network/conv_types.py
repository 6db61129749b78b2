"""The conv types of the model language: each defines the operations of a layer's `conv` step.

A new type is one small class here: `ops` returns the operations in order, from the shape that comes in to a map of
`layer.channels`; shapes, cost and modules follow from them.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

from cifar_exp.network.elementwise import Activation, Gate, Norm
from cifar_exp.network.ops import Conv, MixedDepthwise, Op, Shape
from cifar_exp.network.spec import LayerSpec

CONV_TYPES: dict[str, type["ConvType"]] = {}


class ConvType(ABC):
    """A way to turn a map into one of `layer.channels`."""

    name: ClassVar[str]

    def __init_subclass__(cls) -> None:
        CONV_TYPES[cls.name] = cls

    @staticmethod
    @abstractmethod
    def ops(in_shape: Shape, layer: LayerSpec) -> list[Op]:
        """Return the operations in order. Raises ValueError, in the user's words, where the channels do not fit."""


def _check_groups(in_shape: Shape, layer: LayerSpec) -> None:
    for channels, what in ((in_shape[0], "input"), (layer.channels, "output")):
        if channels % layer.groups:
            raise ValueError(f"groups={layer.groups} does not divide the {channels} {what} channels")


def _full(in_shape: Shape, layer: LayerSpec, kernel_size: int, groups: int) -> Conv:
    """Return one convolution straight to the layer's channels."""
    return Conv(in_shape, layer.channels, kernel_size, layer.stride, layer.dilation, groups, layer.bias)


def _depthwise(in_shape: Shape, layer: LayerSpec, bias: bool) -> Conv:
    channels = in_shape[0]
    return Conv(in_shape, channels, layer.kernel_size, layer.stride, layer.dilation, channels, bias)


def _inner(shape: Shape, layer: LayerSpec) -> list[Op]:
    """Norm and activation between two convolutions of one layer."""
    steps: list[Op] = [Norm(shape, layer.norm)] if layer.norm else []
    return [*steps, Activation(shape, layer.activation)] if layer.activation else steps


class Standard(ConvType):
    """One k×k convolution, in `groups` groups."""

    name = "standard"

    @staticmethod
    def ops(in_shape: Shape, layer: LayerSpec) -> list[Op]:
        _check_groups(in_shape, layer)
        return [_full(in_shape, layer, layer.kernel_size, groups=layer.groups)]


class Pointwise(ConvType):
    """A 1×1 convolution in `groups` groups, independent of `kernel_size`."""

    name = "pointwise"

    @staticmethod
    def ops(in_shape: Shape, layer: LayerSpec) -> list[Op]:
        _check_groups(in_shape, layer)
        return [_full(in_shape, layer, kernel_size=1, groups=layer.groups)]


class Depthwise(ConvType):
    """One k×k convolution per channel; `channels` is a multiple of the input's."""

    name = "depthwise"

    @staticmethod
    def ops(in_shape: Shape, layer: LayerSpec) -> list[Op]:
        if layer.channels % in_shape[0]:
            raise ValueError(
                f"a depthwise convolution of {in_shape[0]} channels gives a multiple of them, not {layer.channels}"
            )
        return [_full(in_shape, layer, layer.kernel_size, groups=in_shape[0])]


class Separable(ConvType):
    """k×k depthwise without bias, then 1×1; the stride is on the depthwise (Chollet 2017, arXiv:1610.02357)."""

    name = "separable"

    @staticmethod
    def ops(in_shape: Shape, layer: LayerSpec) -> list[Op]:
        depthwise = _depthwise(in_shape, layer, bias=False)
        _check_groups(in_shape, layer)
        return [depthwise, Conv(depthwise.out_shape, layer.channels, groups=layer.groups, bias=layer.bias)]


class InvertedResidual(ConvType):
    """1×1 to `expansion` times the width, k×k depthwise, 1×1 back (MobileNetV2, arXiv:1801.04381, §3.3).

    Norm and activation follow the first two.
    """

    name = "inverted_residual"

    @staticmethod
    def ops(in_shape: Shape, layer: LayerSpec) -> list[Op]:
        expand = Conv(in_shape, max(1, round(layer.expansion * in_shape[0])), bias=layer.bias)
        depthwise = _depthwise(expand.out_shape, layer, bias=layer.bias)
        project = Conv(depthwise.out_shape, layer.channels, bias=layer.bias)
        return [
            expand,
            *_inner(expand.out_shape, layer),
            depthwise,
            *_inner(depthwise.out_shape, layer),
            project,
        ]


class Mixed(ConvType):
    """Depthwise with several `kernel_sizes` over the channels, without bias, then 1×1 (MixConv, arXiv:1907.09595)."""

    name = "mixed"

    @staticmethod
    def ops(in_shape: Shape, layer: LayerSpec) -> list[Op]:
        mixed = _mixed_depthwise(in_shape, layer)
        return [mixed, Conv(mixed.out_shape, layer.channels, bias=layer.bias)]


class Gated(ConvType):
    """Mixed depthwise kernels, then a gated 1×1: half of its outputs gate the others (GLU, arXiv:1612.08083)."""

    name = "gated"

    @staticmethod
    def ops(in_shape: Shape, layer: LayerSpec) -> list[Op]:
        mixed = _mixed_depthwise(in_shape, layer)
        both = Conv(mixed.out_shape, 2 * layer.channels, bias=layer.bias)
        return [mixed, both, Gate(both.out_shape)]


def _mixed_depthwise(in_shape: Shape, layer: LayerSpec) -> MixedDepthwise:
    kernels, dilations = layer.kernel_sizes, layer.dilations or [layer.dilation] * len(layer.kernel_sizes)
    if len(dilations) != len(kernels):
        raise ValueError(f"expected as many dilations as kernel_sizes, got {len(dilations)} for {len(kernels)}")
    if len(kernels) > in_shape[0]:
        raise ValueError(
            f"{len(kernels)} kernel_sizes cannot share {in_shape[0]} input channel{'s' * (in_shape[0] > 1)}"
        )
    return MixedDepthwise(in_shape, tuple(kernels), tuple(dilations), layer.stride, bias=False)

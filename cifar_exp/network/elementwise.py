"""The operations that work in their input's memory: for each, its cost and its module, side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cifar_exp.network.ops import Op, Shape

if TYPE_CHECKING:
    from torch import nn


class InPlace(Op):
    """An operation that needs no memory beside its input's, which keeps its shape."""

    in_place = True

    def __init__(self, shape: Shape) -> None:
        self.in_shape = self.out_shape = shape


class Norm(InPlace):
    """A normalisation: four numbers per channel for batch norm (two of them trained), two for the others."""

    def __init__(self, shape: Shape, kind: str) -> None:
        super().__init__(shape)
        self.kind = kind
        self.trainable_params = 2 * shape[0]
        self.params = (4 if kind == "batch" else 2) * shape[0]

    @property
    def label(self) -> str:  # type: ignore[override]
        return f"{self.kind} norm"

    def module(self) -> nn.Module:
        from torch import nn

        from cifar_exp.network.modules import ChannelNorm

        if self.kind == "layer":
            return ChannelNorm(self.in_shape[0])
        return nn.BatchNorm2d(self.in_shape[0]) if len(self.in_shape) == 3 else nn.BatchNorm1d(self.in_shape[0])


NORMS = ("batch", "layer")

ACTIVATIONS = {
    "relu": "ReLU",
    "relu6": "ReLU6",
    "leaky_relu": "LeakyReLU",
    "elu": "ELU",
    "gelu": "GELU",
    "silu": "SiLU",
    "hardswish": "Hardswish",
    "mish": "Mish",
    "tanh": "Tanh",
    "sigmoid": "Sigmoid",
}


class Activation(InPlace):
    """A function of each element."""

    def __init__(self, shape: Shape, kind: str) -> None:
        super().__init__(shape)
        self.kind = self.label = kind

    def module(self) -> nn.Module:
        from torch import nn

        activation: nn.Module = getattr(nn, ACTIVATIONS[self.kind])()
        return activation


class Dropout(InPlace):
    """Zeroes each element with probability `rate` in training (Srivastava et al. 2014)."""

    acts_at_inference = False

    def __init__(self, shape: Shape, rate: float) -> None:
        super().__init__(shape)
        self.rate = rate

    @property
    def label(self) -> str:  # type: ignore[override]
        return f"dropout {self.rate:g}"

    def module(self) -> nn.Module:
        from cifar_exp.network.dropout import ByteDropout

        return ByteDropout(self.rate)


class Scale(InPlace):
    """A learned factor per channel: LayerScale, Touvron et al. 2021 (arXiv:2103.17239), §2.2."""

    label = "layer scale"

    def __init__(self, shape: Shape, initial: float) -> None:
        super().__init__(shape)
        self.initial = initial
        self.params = self.trainable_params = shape[0]

    def module(self) -> nn.Module:
        from cifar_exp.network.modules import LayerScale

        return LayerScale(self.in_shape[0], self.initial)


class Gate(Op):
    """Halves the channels: one half times the sigmoid of the other (GLU, Dauphin et al. 2017, §2)."""

    in_place = True  # the product overwrites one half
    label = "gate"

    def __init__(self, in_shape: Shape) -> None:
        self.in_shape = in_shape
        self.out_shape = (in_shape[0] // 2, *in_shape[1:])

    def module(self) -> nn.Module:
        from torch import nn

        return nn.GLU(dim=1)

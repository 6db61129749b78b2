"""The integers of an exported network: how a tensor is stored, and what an operation multiplies and adds.

A tensor of real values v is stored as q = v / scale + zero, an int8. Weights are symmetric, with a scale for each
output channel. network/firmware/operations.py describes the scheme.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cifar_exp.network.firmware.operations import Operation
from cifar_exp.network.ops import Conv

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
INT32 = 2**31 - 1
SUM_LIMIT = 2**30  # of a sum of products, which leaves a bit for the bias


@dataclass(frozen=True)
class Quantization:
    """How a tensor's values are stored, by channel; `low` and `high` bound the integers."""

    scale: Array  # (C,)
    zero: Array  # (C,), an integer except for raw pixels, whose zero is the mean of the training images
    low: int = -128
    high: int = 127

    @classmethod
    def of_range(cls, low: float, high: float, channels: int) -> "Quantization":
        """Return the 8-bit quantization of a range, which is extended to contain zero."""
        low, high = min(low, 0.0), max(high, 0.0)
        scale = (high - low) / 255 or 1.0
        return cls(np.full(channels, scale), np.full(channels, float(round(-128 - low / scale))))

    @property
    def largest(self) -> int:
        """The greatest absolute value of the integers."""
        return max(-self.low, self.high)


@dataclass
class Sums:
    """Sums of products by channel: the real value is scale · sum + constant, and |sum| never exceeds bound."""

    scale: Array
    constant: Array
    bound: Array

    @property
    def range(self) -> tuple[float, float]:
        """The least and the greatest real value that any sum can have."""
        reach = self.scale * self.bound
        return float((self.constant - reach).min()), float((self.constant + reach).max())

    @classmethod
    def joined(cls, parts: list["Sums"]) -> "Sums":
        """Return the sums of several operations, one after another."""
        return cls(*(np.concatenate(arrays) for arrays in zip(*(vars(one).values() for one in parts), strict=True)))


def weighted(weights: Array, bias: Array | None, source: Quantization, conv: Conv) -> tuple[Integers, Sums]:
    """Quantize weights (out, in / groups, kernel, kernel); return them as (out, taps, in / groups), and their sums."""
    out, inputs = weights.shape[:2]
    taps = weights.reshape(out, inputs, -1).transpose(0, 2, 1)
    groups = conv.groups
    channels = (np.arange(out) // (out // groups))[:, None] * inputs + np.arange(inputs)
    is_uniform = np.ptp(source.scale) == 0
    step = float(source.scale[0]) if is_uniform else 1.0
    effective = taps if is_uniform else taps * source.scale[channels][:, None, :]
    unit = np.abs(effective).max(axis=(1, 2)) / 127
    unit = np.maximum(unit, np.abs(effective).sum(axis=(1, 2)) * source.largest / SUM_LIMIT)
    unit = np.where(unit < 1e-30, 1.0, unit)
    integers = np.clip(np.round(effective / unit[:, None, None]), -127, 127).astype(np.int64)
    scale = unit * step
    zeros = (integers * source.zero[channels][:, None, :]).sum(axis=(1, 2))
    constant = -zeros * scale + (0.0 if bias is None else bias)
    bound = np.abs(integers).sum(axis=(1, 2)) * float(source.largest)
    return integers, Sums(scale, constant, bound)


def signed_parts(parts: tuple[Integers, ...], signs: Integers) -> tuple[Integers, ...]:
    """Multiply the weights (channels, taps) of each part by the signs of its channels."""
    ends = np.cumsum([len(part) for part in parts])
    return tuple(part * signs[end - len(part) : end, None] for part, end in zip(parts, ends, strict=True))


@dataclass(frozen=True)
class Finish:
    """The constants that follow a sum of products, one for each channel."""

    multiplier: Integers
    offset: Integers
    gain: int
    shift: int
    bias: Integers | None = None  # where a ReLU precedes the multiplication
    skip: Integers | None = None  # multiplies the skip, or the sum of its 1×1 convolution
    table: Integers | None = None  # the activation, by value + 128
    low: int = -128
    high: int = 127


@dataclass(frozen=True)
class IntegerOperation:
    """One operation with its integers."""

    operation: Operation
    finish: Finish
    weights: Integers | None = None  # (out, taps, in / groups)
    skip_weights: Integers | None = None  # (out, channels of the skip)
    spatial: tuple[Integers, ...] = ()  # (channels, taps) of each depthwise part
    middle: Finish | None = None
    padding: Integers = field(default_factory=lambda: np.zeros(0, np.int64))  # zero points of the input
    pool: Integers | None = None  # multipliers of an average pool: whole window, cut right, cut below, both
    logit_scale: float = 1.0


NO_FINISH = Finish(np.zeros(0, np.int64), np.zeros(0, np.int64), 0, 0)

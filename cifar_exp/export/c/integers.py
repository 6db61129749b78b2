"""The integers of an exported network: how a tensor is stored, and what an operation multiplies and adds.

A tensor of real values v is stored as q = v / scale + zero, an int8. Weights are symmetric, with a scale for each
output channel. network/firmware/operations.py describes the scheme.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cifar_exp.errors import UserError
from cifar_exp.network.firmware.operations import Operation
from cifar_exp.network.ops import Conv, Shape

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
INT32 = 2**31 - 1
SUM_LIMIT = 2**30  # of a sum of products, which leaves a bit for the bias
MOST_SHIFT = 30


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


@dataclass
class Linear:
    """What follows the sums, in real values by channel: sums · relu(sum) + skip · skip value + constant."""

    sums: Array
    constant: Array
    skip: Array | None = None


def constants_of(
    name: str,
    linear: Linear,
    sums: Sums,
    value: Quantization,
    bias: Integers | None = None,
    added: Sums | None = None,
    is_product: bool = False,
    is_logits: bool = False,
) -> Finish:
    """Choose gain and shift as great as 32 bits allow, and round the constants.

    Bounds are computed from the integers themselves, for all inputs that their types can hold.

    Args:
        name: Of the layer, for the error.
        linear: What the constants compute.
        sums: What they are applied to.
        value: How the result is stored.
        bias: Added to the sums ahead of a ReLU.
        added: The sums of the skip's 1×1 convolution; None where the skip is the tensor itself.
        is_product: The sums are single values, which need no gain.
        is_logits: The result is not rounded to a value of few bits.

    Raises:
        UserError: No shift keeps the values within 32 bits.
    """
    constant, skip = linear.constant, linear.skip
    if added is not None:
        assert skip is not None
        constant, skip = constant + skip * added.constant, skip * added.scale
    bound = sums.bound + (0 if bias is None else np.abs(bias))
    largest = max(1.0, float(bound.max()), 0.0 if added is None else float(added.bound.max()))
    gain = 0 if is_product else int(np.floor(np.log2(INT32 / largest)))
    offset = constant / value.scale + value.zero + (0.0 if is_logits else 0.5)
    for shift in range(MOST_SHIFT, -1, -1):
        unit = 2.0**shift
        of_sum = unit if is_product else unit * 2.0 ** (32 - gain)
        constants = [np.round(linear.sums / value.scale * of_sum), np.round(offset * unit)]
        total = np.abs(constants[0]) * bound * (unit / of_sum) + 1 + np.abs(constants[1])
        if skip is not None:
            constants.append(np.round(skip / value.scale * (unit if added is None else of_sum)))
            total = total + np.abs(constants[2]) * (128.0 if added is None else added.bound * (unit / of_sum)) + 1
        if total.max() <= INT32 and max(np.abs(one).max() for one in constants) <= INT32:
            break
    else:
        raise _too_wide(name)
    multiplier, offsets, *skips = (one.astype(np.int64) for one in constants)
    return Finish(multiplier, offsets, gain, shift, bias, skips[0] if skips else None, low=value.low, high=value.high)


def _too_wide(name: str) -> UserError:
    return UserError(f"layer '{name}': its values, or their ratios, are too large for format=c, which has 32 bits.")


def average_constants(
    name: str, in_shape: Shape, window: tuple[int, int], ratio: float, offset: float
) -> tuple[Finish, Integers]:
    """Return the constants of an average pool, and its multipliers: whole window, cut right, cut below, both.

    Args:
        name: Of the layer, for the error.
        in_shape: (channels, height, width).
        window: Height and width; windows at the edges may be smaller.
        ratio: Scale of the input over that of the output.
        offset: What is added to the mean, in the output's integers.

    Raises:
        UserError: No shift keeps the values within 32 bits.
    """
    _, height, width = in_shape
    rows, columns = window
    counts = np.array([r * c for r in (rows, height % rows or rows) for c in (columns, width % columns or columns)])
    gain = int(np.floor(np.log2(INT32 / (128 * counts.max()))))
    for shift in range(MOST_SHIFT, -1, -1):
        multipliers = np.round(ratio / counts * 2.0 ** (shift + 32 - gain))
        offsets = round((offset + 0.5) * 2.0**shift)
        if multipliers.max() <= INT32 and 128 * ratio * 2.0**shift + abs(offsets) + 2 <= INT32:
            break
    else:
        raise _too_wide(name)
    return Finish(np.zeros(0, np.int64), np.array([offsets]), gain, shift), multipliers.astype(np.int64)

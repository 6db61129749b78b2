"""The integers of an exported network: how a tensor is stored, and what an operation multiplies and adds.

A tensor of real values v is stored as q = v / scale + zero, an int8. Weights are symmetric, with a scale for each
output channel. network/firmware/operations.py describes the scheme.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cifar_exp.network.firmware.operations import Operation

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
INT32 = 2**31 - 1


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

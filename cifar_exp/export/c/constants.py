"""The 32-bit constants of an operation: as precise as they can be without an overflow.

Every bound is computed from the integers themselves, for all inputs that their types can hold.
"""

from dataclasses import dataclass

import numpy as np

from cifar_exp.export.c.integers import INT32, Array, Finish, Integers, Quantization, Sums
from cifar_exp.network.ops import Shape

MOST_SHIFT = 30


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

    Args:
        name: Of the operation, for the error.
        linear: What the constants compute.
        sums: What they are applied to.
        value: How the result is stored.
        bias: Added to the sums ahead of a ReLU.
        added: The sums of the skip's 1×1 convolution; None where the skip is the tensor itself.
        is_product: The sums are single values, which need no gain.
        is_logits: The result is not rounded to a value of few bits.

    Raises:
        ArithmeticError: No shift keeps the values within 32 bits.
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
        raise ArithmeticError(f"{name}: the values do not fit 32 bits")
    multiplier, offsets, *skips = (one.astype(np.int64) for one in constants)
    return Finish(multiplier, offsets, gain, shift, bias, skips[0] if skips else None, low=value.low, high=value.high)


def average_constants(in_shape: Shape, window: tuple[int, int], ratio: float, offset: float) -> tuple[Finish, Integers]:
    """Return the constants of an average pool, and its multipliers: whole window, cut right, cut below, both.

    Args:
        in_shape: (channels, height, width).
        window: Height and width; windows at the edges may be smaller.
        ratio: Scale of the input over that of the output.
        offset: What is added to the mean, in the output's integers.
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
    return Finish(np.zeros(0, np.int64), np.array([offsets]), gain, shift), multipliers.astype(np.int64)

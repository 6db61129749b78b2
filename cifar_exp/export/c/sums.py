"""Integer weights, and what is known of the sums of products that they make."""

from dataclasses import dataclass

import numpy as np

from cifar_exp.export.c.integers import Array, Integers, Quantization
from cifar_exp.network.ops import Conv

SUM_LIMIT = 2**30  # of a sum of products, which leaves a bit for the bias


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

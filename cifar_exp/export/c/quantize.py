"""Integers for the operations of a network: 8-bit weights and tensors, 32-bit constants, and why nothing overflows.

A tensor of real values v is stored as q = v / scale + zero, an int8. Weights are symmetric, with a scale for each
output channel. network/firmware/operations.py describes the scheme; every bound is checked on the integers themselves,
for all inputs that the types can hold.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cifar_exp.export.c.parameters import Parameters
from cifar_exp.network.elementwise import ACTIVATIONS
from cifar_exp.network.firmware.operations import INPUT, Atom, Epilogue, Key, Operation, Skip
from cifar_exp.network.ops import Conv

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
INT32 = 2**31 - 1
SUM_LIMIT = 2**30  # of a sum of products, which leaves a bit for the bias
MIDDLE = 4095  # between depthwise and 1×1 convolution 13 bits are kept, in 16
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


@dataclass
class _Linear:
    """relu(sums · sum + constant) and so on, in real values by channel: sums · sum + skip · skip value + constant."""

    sums: Array
    constant: Array
    skip: Array


class Quantizer:
    """Quantizes the operations one after another, and keeps how each tensor is stored."""

    def __init__(
        self,
        parameters: Mapping[Key, Parameters],
        ranges: Mapping[Key, tuple[float, float]],
        mean: Array,
        std: Array,
    ) -> None:
        """`mean` and `std`: (C,) of the raw pixels, by which they are normalized."""
        self._parameters = parameters
        self._ranges = ranges
        self.tensors = {INPUT: Quantization(1 / std, mean - 128)}

    def quantize(self, operation: Operation) -> IntegerOperation:
        """Return the operation's integers; operations come in the order in which they run."""
        if operation.kind in ("max_pool", "avg_pool"):
            return self._pool(operation)
        source = self.tensors[operation.source]
        padding = np.clip(np.round(source.zero), -128, 127).astype(np.int64)
        made = IntegerOperation(operation, _EMPTY, padding=padding)
        if operation.kind == "elementwise":
            ones = np.ones(operation.in_shape[0])
            sums = _Sums(source.scale, -source.scale * source.zero, source.largest * ones)
            finish, _ = self._finish(operation, sums, is_product=True)
            return replace(made, finish=finish)
        if operation.spatial:
            spatial, sums = self._spatial(operation, source)
            if operation.kind == "depthwise":
                finish, signs = self._finish(operation, sums)
                return replace(made, finish=finish, spatial=_signed_parts(spatial, signs))
            middle, source = self._middle(operation, sums)
            made = replace(made, spatial=spatial, middle=middle)
        assert operation.conv is not None
        assert operation.conv_key is not None
        own = self._parameters[operation.conv_key]
        weights, sums = _weighted(own.weights[0], own.bias, source, operation.conv)
        skip_weights, added = self._projection(operation.epilogue.skip)
        finish, signs = self._finish(operation, sums, added)
        scale = 2.0**-finish.shift
        if operation.is_logits:
            finish = replace(finish, shift=0)
        weights = weights * signs[:, None, None]
        return replace(made, finish=finish, weights=weights, skip_weights=skip_weights, logit_scale=scale)

    def _spatial(self, operation: Operation, source: Quantization) -> tuple[tuple[Integers, ...], "_Sums"]:
        assert operation.spatial_key is not None
        own = self._parameters[operation.spatial_key]
        parts, sums, first = [], [], 0
        for conv, weights in zip(operation.spatial, own.weights, strict=True):
            inputs = conv.in_shape[0]
            channels = slice(first, first + inputs)
            of_part = replace(source, scale=source.scale[channels], zero=source.zero[channels])
            integers, sum_ = _weighted(weights, None, of_part, conv)
            parts.append(integers[:, :, 0])
            sums.append(sum_)
            first += inputs
        joined = _Sums(*(np.concatenate(arrays) for arrays in zip(*(vars(one).values() for one in sums), strict=True)))
        if own.bias is not None:
            joined.constant = joined.constant + own.bias
        return tuple(parts), joined

    def _middle(self, operation: Operation, sums: "_Sums") -> tuple[Finish, Quantization]:
        """The values between the convolutions: 13 bits, or 8 where an activation is looked up."""
        epilogue = operation.middle
        assert epilogue.key is not None
        low, high = self._ranges[epilogue.key]
        channels = operation.in_shape[0]
        if _has_table(epilogue):
            stored = Quantization.of_range(low, high, channels)
        else:
            scale = max(-low, high) / MIDDLE or 1.0
            least = 0 if epilogue.activation in ("relu", "relu6") else -MIDDLE
            stored = Quantization(np.full(channels, scale), np.zeros(channels), least, MIDDLE)
        linear, _, _ = self._linear(epilogue, sums)
        return self._constants(epilogue, linear, sums, stored), stored

    def _finish(
        self, operation: Operation, sums: "_Sums", added: "_Sums | None" = None, is_product: bool = False
    ) -> tuple[Finish, Integers]:
        """The constants behind the sums, and the signs by which the weights are multiplied."""
        epilogue = operation.epilogue
        assert epilogue.key is not None
        linear, bias, signs = self._linear(epilogue, sums)
        channels = operation.out_shape[0]
        if operation.is_logits:
            stored = Quantization(np.ones(channels), np.zeros(channels), -INT32, INT32)
        else:
            stored = Quantization.of_range(*self._ranges[epilogue.key], channels)
            self.tensors[operation.target] = stored
        finish = self._constants(epilogue, linear, sums, stored, bias, added, is_product, operation.is_logits)
        return finish, signs

    def _linear(self, epilogue: Epilogue, sums: "_Sums") -> tuple[_Linear, Integers | None, Integers]:
        """Fold norms, scales and the addition into one multiplication and one addition."""
        channels = len(sums.scale)
        signs = np.ones(channels, np.int64)
        scale, offset = self._affine(epilogue.before, channels)
        if not epilogue.relu:
            scale, offset, skip = self._affine_with_skip(epilogue.after, channels)
            constant = offset + scale * sums.constant
            return self._with_skip_constant(epilogue, _Linear(scale * sums.scale, constant, skip)), None, signs
        # relu(scale · (s · sum + c) + offset) = |scale| · s · relu(±sum + (c + offset / scale) / s)
        signs[scale < 0] = -1
        with np.errstate(divide="ignore", invalid="ignore"):
            bias = signs * (sums.constant + offset / scale) / sums.scale
        is_dead = ~(np.abs(bias) < SUM_LIMIT)
        constant = np.where(is_dead, np.maximum(offset + scale * sums.constant, 0.0), 0.0)
        factor = np.where(is_dead, 0.0, np.abs(scale) * sums.scale)
        after, offset, skip = self._affine_with_skip(epilogue.after, channels)
        linear = _Linear(after * factor, after * constant + offset, skip)
        return (
            self._with_skip_constant(epilogue, linear),
            np.round(np.where(is_dead, 0.0, bias)).astype(np.int64),
            signs,
        )

    def _with_skip_constant(self, epilogue: Epilogue, linear: _Linear) -> _Linear:
        """Take scale and zero of the skip's tensor, and the bias of its projection, into the constants."""
        skip = epilogue.skip
        if skip is None or skip.kind == "full":
            return linear
        stored, channels = self.tensors[skip.tensor], len(linear.sums)
        repeats = max(1, channels // skip.shape[0]) if skip.kind == "scaled" else 1
        source = np.minimum(np.arange(channels) // repeats, skip.shape[0] - 1)
        factor, constant = linear.skip.copy(), linear.constant.copy()
        if skip.kind == "scaled":
            own = self._parameters[skip.key]  # type: ignore[index]
            constant = constant + factor * (0.0 if own.bias is None else own.bias)
            factor = factor * own.weights[0].reshape(-1)
        factor = np.where(np.arange(channels) // repeats < skip.shape[0], factor, 0.0)  # pad: no value
        factor = factor * stored.scale[source]
        return _Linear(linear.sums, constant - factor * stored.zero[source], factor)

    def _projection(self, skip: Skip | None) -> tuple[Integers | None, "_Sums | None"]:
        if skip is None or skip.kind != "full":
            return None, None
        own = self._parameters[skip.key]  # type: ignore[index]
        assert isinstance(skip.op, Conv)
        weights, sums = _weighted(own.weights[0], own.bias, self.tensors[skip.tensor], skip.op)
        return weights[:, 0], sums

    def _affine(self, atoms: tuple[Atom, ...], channels: int) -> tuple[Array, Array]:
        scale, offset, _ = self._affine_with_skip(atoms, channels)
        return scale, offset

    def _affine_with_skip(self, atoms: tuple[Atom, ...], channels: int) -> tuple[Array, Array, Array]:
        scale, offset, skip = np.ones(channels), np.zeros(channels), np.zeros(channels)
        for key, op in atoms:
            if op is None:
                skip = np.ones(channels)
            else:
                own = self._parameters[key]
                assert own.scale is not None
                assert own.offset is not None
                scale, offset, skip = scale * own.scale, offset * own.scale + own.offset, skip * own.scale
        return scale, offset, skip

    def _constants(
        self,
        epilogue: Epilogue,
        linear: _Linear,
        sums: "_Sums",
        stored: Quantization,
        bias: Integers | None = None,
        added: "_Sums | None" = None,
        is_product: bool = False,
        is_logits: bool = False,
    ) -> Finish:
        """Choose gain and shift as great as 32 bits allow, and round the constants."""
        constant, skip = linear.constant, linear.skip if epilogue.skip is not None else None
        value, table = stored, None
        if added is not None:
            assert skip is not None
            constant, skip = constant + skip * added.constant, skip * added.scale
        if _has_table(epilogue):
            assert epilogue.range_key is not None
            assert epilogue.activation is not None
            value = Quantization.of_range(*self._ranges[epilogue.range_key], len(constant))
            table = _table(epilogue.activation, value, stored)
        bound = sums.bound + (0 if bias is None else np.abs(bias))
        largest = max(1.0, float(bound.max()), 0.0 if added is None else float(added.bound.max()))
        gain = 0 if is_product else int(np.floor(np.log2(INT32 / largest)))
        factors = (linear.sums / value.scale, None if skip is None else skip / value.scale)
        offset = constant / value.scale + value.zero
        for shift in range(MOST_SHIFT, -1, -1):
            unit = 2.0**shift
            of_sum = unit if is_product else unit * 2.0 ** (32 - gain)
            multiplier = np.round(factors[0] * of_sum)
            total = np.abs(multiplier) * bound * (unit / of_sum) + 1
            rounding = 0.0 if is_logits else 0.5
            offsets = np.round((offset + rounding) * unit)
            skips = None
            if factors[1] is not None:
                skips = np.round(factors[1] * (unit if added is None else of_sum))
                reach = 128.0 if added is None else added.bound * (unit / of_sum)
                total = total + np.abs(skips) * reach + 1
            total = total + np.abs(offsets)
            constants = [multiplier, offsets, *([] if skips is None else [skips])]
            if total.max() <= INT32 and max(np.abs(one).max() for one in constants) <= INT32:
                break
        else:
            raise ArithmeticError(f"{epilogue.key}: the values do not fit 32 bits")
        as_integers = [one.astype(np.int64) for one in constants]
        is_table = table is not None
        return Finish(
            as_integers[0], as_integers[1], gain, shift, bias, None if skips is None else as_integers[2], table,
            -128 if is_table else stored.low, 127 if is_table else stored.high,
        )  # fmt: skip

    def _pool(self, operation: Operation) -> IntegerOperation:
        source = self.tensors[operation.source]
        if operation.kind == "max_pool":
            self.tensors[operation.target] = source
            return IntegerOperation(operation, _EMPTY)
        _, height, width = operation.in_shape
        rows, columns = operation.window
        counts = np.array([r * c for r in (rows, height % rows or rows) for c in (columns, width % columns or columns)])
        is_uniform = operation.source != INPUT
        assert operation.epilogue.key is not None
        stored = source
        if is_uniform:
            stored = Quantization.of_range(*self._ranges[operation.epilogue.key], operation.out_shape[0])
        self.tensors[operation.target] = stored
        ratio = float(source.scale[0] / stored.scale[0])
        offset = float(stored.zero[0] - source.zero[0] * ratio) if is_uniform else 0.0
        gain = int(np.floor(np.log2(INT32 / (128 * counts.max()))))
        for shift in range(MOST_SHIFT, -1, -1):
            multipliers = np.round(ratio / counts * 2.0 ** (shift + 32 - gain))
            offsets = round((offset + 0.5) * 2.0**shift)
            if multipliers.max() <= INT32 and 128 * ratio * 2.0**shift + abs(offsets) + 2 <= INT32:
                break
        finish = Finish(np.zeros(0, np.int64), np.array([offsets]), gain, shift)
        return IntegerOperation(operation, finish, pool=multipliers.astype(np.int64))


@dataclass
class _Sums:
    """Sums of products by channel: the real value is scale · sum + constant, and |sum| never exceeds bound."""

    scale: Array
    constant: Array
    bound: Array


_EMPTY = Finish(np.zeros(0, np.int64), np.zeros(0, np.int64), 0, 0)


def _weighted(weights: Array, bias: Array | None, source: Quantization, conv: Conv) -> tuple[Integers, _Sums]:
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
    return integers, _Sums(scale, constant, bound)


def _signed_parts(parts: tuple[Integers, ...], signs: Integers) -> tuple[Integers, ...]:
    ends = np.cumsum([len(part) for part in parts])
    return tuple(part * signs[end - len(part) : end, None] for part, end in zip(parts, ends, strict=True))


def _has_table(epilogue: Epilogue) -> bool:
    return epilogue.activation not in (None, "relu", "relu6")


def _table(activation: str, value: Quantization, stored: Quantization) -> Integers:
    """Return the activation of each 8-bit value, as 8-bit values."""
    module: nn.Module = getattr(nn, ACTIVATIONS[activation])()
    reals = (np.arange(-128, 128) - value.zero[0]) * value.scale[0]
    results = module(torch.from_numpy(reals)).numpy()
    return np.clip(np.round(results / stored.scale[0] + stored.zero[0]), -128, 127).astype(np.int64)

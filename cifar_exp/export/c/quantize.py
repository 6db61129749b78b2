"""From the parameters and ranges of a trained network to the integers of its operations.

Norms, scales, skips and zero points are folded into one multiplication and one addition per channel.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch

from cifar_exp.export.c.integers import (
    INT32,
    NO_FINISH,
    SUM_LIMIT,
    Array,
    Finish,
    IntegerOperation,
    Integers,
    Linear,
    Quantization,
    Sums,
    average_constants,
    constants_of,
    signed_parts,
    weighted,
)
from cifar_exp.export.c.parameters import Parameters
from cifar_exp.network.elementwise import Activation
from cifar_exp.network.firmware.operations import INPUT, Atom, Epilogue, Key, Operation, Skip
from cifar_exp.network.ops import Conv

MIDDLE = 4095  # between depthwise and 1×1 convolution 13 bits are kept, in 16


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
        made = IntegerOperation(operation, NO_FINISH, padding=padding)
        if operation.kind == "elementwise":
            ones = np.ones(operation.in_shape[0])
            sums = Sums(source.scale, -source.scale * source.zero, source.largest * ones)
            finish, _ = self._finish(operation, sums, is_product=True)
            return replace(made, finish=finish)
        if operation.spatial:
            spatial, sums = self._spatial(operation, source)
            if operation.kind == "depthwise":
                finish, signs = self._finish(operation, sums)
                return replace(made, finish=finish, spatial=signed_parts(spatial, signs))
            middle, source = self._middle(operation, sums)
            made = replace(made, spatial=spatial, middle=middle)
        assert operation.conv is not None
        assert operation.conv_key is not None
        own = self._parameters[operation.conv_key]
        weights, sums = weighted(own.weights[0], own.bias, source, operation.conv)
        skip_weights, added = self._projection(operation.epilogue.skip)
        finish, signs = self._finish(operation, sums, added)
        scale = 2.0**-finish.shift
        if operation.is_logits:
            finish = replace(finish, shift=0)
        weights = weights * signs[:, None, None]
        return replace(made, finish=finish, weights=weights, skip_weights=skip_weights, logit_scale=scale)

    def _spatial(self, operation: Operation, source: Quantization) -> tuple[tuple[Integers, ...], Sums]:
        assert operation.spatial_key is not None
        own = self._parameters[operation.spatial_key]
        parts, sums, first = [], [], 0
        for conv, weights in zip(operation.spatial, own.weights, strict=True):
            inputs = conv.in_shape[0]
            channels = slice(first, first + inputs)
            of_part = replace(source, scale=source.scale[channels], zero=source.zero[channels])
            integers, sum_ = weighted(weights, None, of_part, conv)
            parts.append(integers[:, :, 0])
            sums.append(sum_)
            first += inputs
        joined = Sums.joined(sums)
        if own.bias is not None:
            joined.constant = joined.constant + own.bias
        return tuple(parts), joined

    def _middle(self, operation: Operation, sums: Sums) -> tuple[Finish, Quantization]:
        """Return the values between the convolutions: 13 bits, or 8 where an activation is looked up."""
        epilogue = operation.middle
        assert epilogue.key is not None
        low, high = self._ranges[epilogue.key]
        channels = operation.in_shape[0]
        if epilogue.has_table:
            stored = Quantization.of_range(low, high, channels)
        else:
            scale = max(-low, high) / MIDDLE or 1.0
            least = 0 if epilogue.activation in ("relu", "relu6") else -MIDDLE - 1
            stored = Quantization(np.full(channels, scale), np.zeros(channels), least, MIDDLE)
        linear, _, _ = self._linear(epilogue, sums)
        return self._constants(epilogue, linear, sums, stored), stored

    def _constants(
        self,
        epilogue: Epilogue,
        linear: Linear,
        sums: Sums,
        stored: Quantization,
        bias: Integers | None = None,
        added: Sums | None = None,
        is_product: bool = False,
        is_logits: bool = False,
    ) -> Finish:
        """Return the constants, and the table of an activation, which is applied to 8-bit values."""
        value = stored
        if epilogue.has_table:
            low, high = self._ranges[epilogue.range_key] if epilogue.range_key else sums.range
            value = Quantization.of_range(low, high, len(linear.constant))
        assert epilogue.key is not None
        finish = constants_of(epilogue.key.layer, linear, sums, value, bias, added, is_product, is_logits)
        if epilogue.has_table:
            assert epilogue.activation is not None
            finish = replace(finish, table=_table(epilogue.activation, value, stored))
        return finish

    def _finish(
        self, operation: Operation, sums: Sums, added: Sums | None = None, is_product: bool = False
    ) -> tuple[Finish, Integers]:
        """Return the constants behind the sums, and the signs by which the weights are multiplied."""
        epilogue = operation.epilogue
        assert epilogue.key is not None
        linear, bias, signs = self._linear(epilogue, sums)
        channels = operation.out_shape[0]
        if operation.is_logits:
            stored = Quantization(np.ones(channels), np.zeros(channels), -INT32, INT32)
        else:
            stored = Quantization.of_range(*self._ranges[epilogue.key], channels)
            self.tensors[operation.name] = stored
        finish = self._constants(epilogue, linear, sums, stored, bias, added, is_product, operation.is_logits)
        return finish, signs

    def _linear(self, epilogue: Epilogue, sums: Sums) -> tuple[Linear, Integers | None, Integers]:
        """Fold norms, scales and the addition into one multiplication and one addition."""
        channels = len(sums.scale)
        signs = np.ones(channels, np.int64)
        scale, offset, _ = self._affine(epilogue.before, channels)
        if not epilogue.relu:
            scale, offset, skip = self._affine(epilogue.after, channels)
            constant = offset + scale * sums.constant
            return self._with_skip_constant(epilogue, Linear(scale * sums.scale, constant, skip)), None, signs
        # relu(scale · (s · sum + c) + offset) = |scale| · s · relu(±sum + (c + offset / scale) / s)
        signs[scale < 0] = -1
        with np.errstate(divide="ignore", invalid="ignore"):
            bias = signs * (sums.constant + offset / scale) / sums.scale
        is_dead = ~(np.abs(bias) < SUM_LIMIT)
        constant = np.where(is_dead, np.maximum(offset + scale * sums.constant, 0.0), 0.0)
        factor = np.where(is_dead, 0.0, np.abs(scale) * sums.scale)
        after, offset, skip = self._affine(epilogue.after, channels)
        linear = Linear(after * factor, after * constant + offset, skip)
        return (
            self._with_skip_constant(epilogue, linear),
            np.round(np.where(is_dead, 0.0, bias)).astype(np.int64),
            signs,
        )

    def _with_skip_constant(self, epilogue: Epilogue, linear: Linear) -> Linear:
        """Take scale and zero of the skip's tensor, and the bias of its projection, into the constants."""
        skip = epilogue.skip
        if skip is None:
            return replace(linear, skip=None)
        if skip.kind == "full":
            return linear
        assert linear.skip is not None
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
        return Linear(linear.sums, constant - factor * stored.zero[source], factor)

    def _projection(self, skip: Skip | None) -> tuple[Integers | None, Sums | None]:
        if skip is None or skip.kind != "full":
            return None, None
        own = self._parameters[skip.key]  # type: ignore[index]
        assert isinstance(skip.op, Conv)
        weights, sums = weighted(own.weights[0], own.bias, self.tensors[skip.tensor], skip.op)
        return weights[:, 0], sums

    def _affine(self, atoms: tuple[Atom, ...], channels: int) -> tuple[Array, Array, Array]:
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

    def _pool(self, operation: Operation) -> IntegerOperation:
        source = self.tensors[operation.source]
        if operation.kind == "max_pool":
            self.tensors[operation.name] = source
            return IntegerOperation(operation, NO_FINISH)
        assert operation.epilogue.key is not None
        stored, offset = source, 0.0
        if operation.source != INPUT:  # whose channels have different zeros
            stored = Quantization.of_range(*self._ranges[operation.epilogue.key], operation.out_shape[0])
            offset = float(stored.zero[0] - source.zero[0] * source.scale[0] / stored.scale[0])
        self.tensors[operation.name] = stored
        layer = operation.epilogue.key.layer
        ratio = float(source.scale[0] / stored.scale[0])
        finish, multipliers = average_constants(layer, operation.in_shape, operation.window, ratio, offset)
        return IntegerOperation(operation, finish, pool=multipliers)


def _table(activation: str, value: Quantization, stored: Quantization) -> Integers:
    """Return the activation of each 8-bit value, as 8-bit values."""
    reals = (np.arange(-128, 128) - value.zero[0]) * value.scale[0]
    results = Activation((1,), activation).module()(torch.from_numpy(reals)).numpy()
    return np.clip(np.round(results / stored.scale[0] + stored.zero[0]), -128, 127).astype(np.int64)

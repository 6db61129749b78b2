"""The reference: the integer arithmetic of an exported network in numpy, for many images at once.

Sums of products are computed in floating point, where they are exact: in float32 as long as no partial sum can reach
2**24, in float64 otherwise.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cifar_exp.export.c.integers import Finish, IntegerOperation, Integers
from cifar_exp.network.firmware.operations import INPUT, Skip
from cifar_exp.network.ops import Conv

IMAGES_AT_ONCE = 16  # whose maps fit a cache
Map = NDArray[np.int16]  # (N, height, width, channels)


def simulate(operations: Sequence[IntegerOperation], images: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Return the integer logits (N, K) of images uint8 (N, H, W, C)."""
    batches = [images[first : first + IMAGES_AT_ONCE] for first in range(0, len(images), IMAGES_AT_ONCE)]
    return np.concatenate([_logits(operations, batch) for batch in batches])


def _logits(operations: Sequence[IntegerOperation], images: NDArray[np.uint8]) -> NDArray[np.int32]:
    tensors: dict[str, NDArray[Any]] = {INPUT: images.astype(np.int16) - 128}
    last_use = {name: index for index, one in enumerate(operations) for name in one.operation.reads}
    for index, one in enumerate(operations):
        x = tensors[one.operation.source]
        skip = one.operation.epilogue.skip
        result = _run(one, x, None if skip is None else tensors[skip.tensor])
        tensors[one.operation.name] = result if one.operation.is_logits else result.astype(np.int16)
        for name in one.operation.reads:
            if last_use[name] == index:
                tensors.pop(name, None)
    return tensors[operations[-1].operation.name].reshape(len(images), -1).astype(np.int32)


def _run(one: IntegerOperation, x: Map, skip: Map | None) -> Integers:
    operation = one.operation
    if operation.kind == "max_pool":
        return _windows(x, operation.window, "max")
    if operation.kind == "avg_pool":
        return _averages(one, x)
    if operation.kind == "elementwise":
        values = x.astype(np.int64) * one.finish.multiplier + one.finish.offset
        return _stored(one.finish, _with_skip(one, values, skip))
    if operation.spatial:
        x_sums = _depthwise(one, x)
        if operation.kind == "depthwise":
            return _stored(one.finish, _with_skip(one, _scaled(one.finish, x_sums), skip))
        assert one.middle is not None
        x = _stored(one.middle, _scaled(one.middle, x_sums)).astype(np.int16)
        padding = np.zeros(x.shape[-1], np.int64)
    else:
        padding = one.padding
    assert operation.conv is not None
    assert one.weights is not None
    values = _scaled(one.finish, _convolved(x, one.weights, operation.conv, padding))
    return values if operation.is_logits else _stored(one.finish, _with_skip(one, values, skip))


def _scaled(finish: Finish, sums: Integers) -> Integers:
    if finish.bias is not None:
        sums = np.maximum(sums + finish.bias, 0)
    return ((sums << finish.gain) * finish.multiplier >> 32) + finish.offset


def _with_skip(one: IntegerOperation, values: Integers, tensor: Map | None) -> Integers:
    skip, factor = one.operation.epilogue.skip, one.finish.skip
    if skip is None or tensor is None or factor is None:
        return values
    if one.skip_weights is not None:
        assert isinstance(skip.op, Conv)
        sums = _convolved(tensor, one.skip_weights[:, None], skip.op, np.zeros(skip.shape[0], np.int64))
        return values + ((sums << one.finish.gain) * factor >> 32)
    return values + _adapted(skip, tensor, values.shape[-1]) * factor


def _adapted(skip: Skip, tensor: Map, channels: int) -> Integers:
    """Take every `stride`-th pixel, repeat channels, or append zero channels."""
    pixels = tensor[:, :: skip.stride, :: skip.stride].astype(np.int64)
    if skip.kind == "scaled":
        return pixels.repeat(channels // pixels.shape[-1], axis=-1)
    return np.pad(pixels, [(0, 0)] * 3 + [(0, channels - pixels.shape[-1])])


def _stored(finish: Finish, values: Integers) -> Integers:
    values = np.clip(values >> finish.shift, finish.low, finish.high)
    return values if finish.table is None else finish.table[values + 128]


def _taps(x: Map, conv: Conv, padding: Integers, dtype: type) -> list[NDArray[np.floating]]:
    """Return, for each tap, the values that it sees at each output pixel; `padding` by channel around the map."""
    reach = conv.dilation * (conv.kernel_size - 1)
    before = reach // 2
    _, height, width = conv.out_shape
    wide = np.empty((len(x), x.shape[1] + reach + 1, x.shape[2] + reach + 1, x.shape[3]), dtype)
    wide[:] = padding
    wide[:, before : before + x.shape[1], before : before + x.shape[2]] = x
    rows, columns = (height - 1) * conv.stride + 1, (width - 1) * conv.stride + 1
    offsets = range(0, reach + 1, conv.dilation)
    return [wide[:, i : i + rows : conv.stride, j : j + columns : conv.stride] for i in offsets for j in offsets]


def _exact_type(weights: Integers, x: Map) -> type:
    bound = np.abs(weights).reshape(len(weights), -1).sum(axis=1).max() * max(128, int(np.abs(x).max(initial=0)))
    return np.float32 if bound < 2**24 else np.float64


def _convolved(x: Map, weights: Integers, conv: Conv, padding: Integers) -> Integers:
    """Return sums of products; weights (out, taps, in / groups)."""
    dtype = _exact_type(weights, x)
    taps = _taps(x, conv, padding, dtype)
    inputs, outputs = weights.shape[2], len(weights) // conv.groups
    results = []
    for group in range(conv.groups):
        mine: NDArray[Any] = weights[group * outputs : (group + 1) * outputs].astype(dtype)
        channels = slice(group * inputs, (group + 1) * inputs)
        results.append(sum(tap[..., channels] @ mine[:, index].T for index, tap in enumerate(taps)))
    return np.concatenate(results, axis=-1).astype(np.int64)


def _depthwise(one: IntegerOperation, x: Map) -> Integers:
    results, first = [], 0
    for conv, weights in zip(one.operation.spatial, one.spatial, strict=True):
        channels = slice(first, first + conv.in_shape[0])
        taps = _taps(x[..., channels], conv, one.padding[channels], np.float32)
        repeats = conv.channels // conv.in_shape[0]
        results.append(
            sum(tap.repeat(repeats, axis=-1) * weights[:, i].astype(np.float32) for i, tap in enumerate(taps))
        )
        first += conv.in_shape[0]
    return np.concatenate(results, axis=-1).astype(np.int64)


def _windows(x: Map, window: tuple[int, int], kind: str) -> Integers:
    """Return the maximum or the sum of each window, cut at the edges."""
    rows, columns = window
    reduce = np.maximum if kind == "max" else np.add
    x = reduce.reduceat(x.astype(np.int64), np.arange(0, x.shape[1], rows), axis=1)
    return reduce.reduceat(x, np.arange(0, x.shape[2], columns), axis=2)


def _averages(one: IntegerOperation, x: Map) -> Integers:
    assert one.pool is not None
    rows, columns = one.operation.window
    sums = _windows(x, one.operation.window, "sum")
    classes = np.zeros(sums.shape[1:3], np.int64)
    classes[-1] += 2 * (x.shape[1] % rows > 0)
    classes[:, -1] += x.shape[2] % columns > 0
    values = ((sums << one.finish.gain) * one.pool[classes][..., None] >> 32) + one.finish.offset
    return np.clip(values >> one.finish.shift, -128, 127)

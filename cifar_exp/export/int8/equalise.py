"""Channels of one tensor brought to like ranges, which share one 8-bit scale; the network computes the same.

Cross-layer equalisation (Nagel et al. 2019, arXiv:1906.04721, §4.1), with the ranges of the calibration images, and
through skips: a set of tensors that additions and ReLUs connect is divided, channel by channel, by s; so are the
weights that make them, and the weights that read them are multiplied. Where only depthwise convolutions read them,
whose weights have a scale for each channel, this costs nothing, and all ranges become equal; otherwise s is the
geometric mean between the ranges of the channels and those of the weights that read them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cifar_exp.export.int8.graph import WEIGHTED, Floats, Graph, attribute

PASSES = {"Relu", "LeakyRelu", "Add", "MaxPool", "AveragePool"}  # channel by channel, f(a·x) = a·f(x) for a > 0
Ranges = Mapping[str, Floats]  # the greatest magnitude of each channel (C,), by tensor


@dataclass
class _Group:
    """Tensors whose channels have to be scaled together."""

    tensors: set[str] = field(default_factory=set)
    makers: list[Any] = field(default_factory=list)  # convolutions and dense layers
    readers: list[Any] = field(default_factory=list)
    additions: list[Any] = field(default_factory=list)  # of a constant
    is_scalable: bool = True


def equalise(graph: Graph, ranges: Ranges) -> None:
    """Scale the channels of every tensor that can be scaled; `ranges` are those before."""
    seen: set[str] = set()
    for node in graph.nodes:
        if node.op_type in WEIGHTED and node.output[0] not in seen:
            group = _group_of(graph, node.output[0])
            seen |= group.tensors
            if group.is_scalable:
                _scale(graph, group, ranges)


def _group_of(graph: Graph, tensor: str) -> _Group:
    group, waiting = _Group(), [tensor]
    outputs = {output.name for output in graph.model.graph.output}
    while waiting:
        tensor = waiting.pop()
        if tensor in group.tensors:
            continue
        group.tensors.add(tensor)
        maker = graph.maker(tensor)
        group.is_scalable &= maker is not None and tensor not in outputs
        if maker is not None:
            waiting += _joined(graph, group, maker)
        for reader in graph.readers(tensor):
            waiting += _read(graph, group, reader)
    return group


def _joined(graph: Graph, group: _Group, maker: Any) -> Iterable[str]:
    """Take the node that makes a tensor into the group; return the tensors that it joins to it."""
    if maker.op_type in WEIGHTED:
        group.makers.append(maker)
        group.is_scalable &= not graph.has_shared_weights(maker)
    elif maker.op_type in PASSES:
        return [name for name in maker.input if name not in graph.constants]
    else:
        group.is_scalable = False
    return []


def _read(graph: Graph, group: _Group, reader: Any) -> Iterable[str]:
    """Take a node that reads a tensor into the group; return the tensors that it joins to it."""
    if reader.op_type in WEIGHTED:
        group.readers.append(reader)
        group.is_scalable &= not graph.has_shared_weights(reader)
        group.is_scalable &= attribute(reader, "group", 1) == 1 or _is_depthwise(graph, reader)
    elif reader.op_type in PASSES:
        if any(name in graph.constants for name in reader.input):
            group.additions.append(reader)
        return reader.output
    else:
        group.is_scalable = False
    return []


def _is_depthwise(graph: Graph, conv: Any) -> bool:
    return attribute(conv, "group", 1) > 1 and graph.values(conv, 1).shape[1] == 1


def _scale(graph: Graph, group: _Group, ranges: Ranges) -> None:
    greatest = np.max([ranges[tensor] for tensor in group.tensors], axis=0)
    mixing = [reader for reader in group.readers if not _is_depthwise(graph, reader)]
    scales = greatest.copy()
    if mixing:
        scales = np.sqrt(greatest / np.max([_column_ranges(graph.values(node, 1)) for node in mixing], axis=0))
    scales = np.where((greatest > 0) & np.isfinite(scales) & (scales > 0), scales, scales.max(initial=1))
    scales = (scales / scales.max()).astype(np.float32)
    for maker in group.makers:
        graph.scale_outputs(maker, 1 / scales)
    for addition in group.additions:
        index = next(index for index, name in enumerate(addition.input) if name in graph.constants)
        graph.set_values(addition, index, graph.values(addition, index) / scales.reshape(1, -1, 1, 1))
    for reader in group.readers:
        weights = graph.values(reader, 1)
        by_input = scales.reshape(1, -1, *[1] * (weights.ndim - 2))
        if _is_depthwise(graph, reader):
            by_input = np.repeat(scales, len(weights) // len(scales)).reshape(-1, 1, 1, 1)
        graph.set_values(reader, 1, weights * by_input)


def _column_ranges(weights: Floats) -> Floats:
    """Return the greatest weight that reads each input channel, relative to the greatest of its output channel."""
    magnitudes = np.abs(weights).reshape(*weights.shape[:2], -1).max(axis=2)
    rows = magnitudes.max(axis=1, keepdims=True)
    columns: Floats = (magnitudes / np.where(rows > 0, rows, 1)).max(axis=0)
    return columns

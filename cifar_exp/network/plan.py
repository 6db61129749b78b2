"""The plan of a network: every operation with its shapes and its cost, computed without torch.

`summary`, the budget and the sweep read the plan alone; `build` turns the same plan into modules.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import NamedTuple

from cifar_exp.network import firmware
from cifar_exp.network.ops import Conv, MixedDepthwise, Op, Pool, Shape
from cifar_exp.network.table import layer_table


class PlannedStep(NamedTuple):
    """One step of a layer: `conv`, `norm`, … or `add`, which has no operations of its own."""

    name: str
    ops: tuple[Op, ...]


@dataclass
class PlannedLayer:
    """One layer: its steps in order, and what is added to it."""

    name: str
    steps: tuple[PlannedStep, ...]
    in_shape: Shape
    out_shape: Shape
    skip: str | None = None  # the layer, or `input`, whose output is added
    projection: Op | None = None  # what brings it to this layer's shape; None where it fits
    share: str | None = None  # the layer whose convolution weights are used

    @property
    def ops(self) -> Iterator[Op]:
        """Its operations in order, without the projection."""
        return (op for step in self.steps for op in step.ops)

    def owns(self, op: Op) -> bool:
        """Return whether the operation's parameters are this layer's own rather than shared."""
        return self.share is None or not isinstance(op, (Conv, MixedDepthwise))


class Row(NamedTuple):
    """A line of the layer table."""

    name: str
    type: str
    params: int
    macs: int
    output_shape: Shape


@dataclass
class Plan:
    """A network's layers and head, in the order in which they run, for one input shape."""

    name: str
    input_shape: Shape  # (channels, height, width)
    num_classes: int
    layers: tuple[PlannedLayer, ...]
    head: tuple[PlannedLayer, ...]

    def __str__(self) -> str:
        return layer_table(self)

    def _own_ops(self) -> Iterator[Op]:
        for layer in (*self.layers, *self.head):
            yield from (op for op in layer.ops if layer.owns(op))
            if layer.projection is not None:
                yield layer.projection

    @cached_property
    def params(self) -> int:
        """All numbers that Keras' `count_params` counts, running statistics included."""
        return sum(op.params for op in self._own_ops())

    @cached_property
    def trainable_params(self) -> int:
        """What the optimizer updates."""
        return sum(op.trainable_params for op in self._own_ops())

    @cached_property
    def macs(self) -> int:
        """Multiply-accumulates of one image at inference."""
        layers = (*self.layers, *self.head)
        steps = sum(op.macs for layer in layers for op in layer.ops)
        return steps + sum(layer.projection.macs for layer in layers if layer.projection is not None)

    @cached_property
    def peak_activation_bytes(self) -> int:
        """Return the most bytes that are alive during one step of an image's inference, one byte per element."""
        return max(self.live_bytes.values())

    @cached_property
    def live_bytes(self) -> dict[str, int]:
        """The most bytes that are alive during a step of each layer."""
        most: dict[str, int] = {}
        for layer, alive in _live_bytes(self):
            most[layer] = max(alive, most.get(layer, 0))
        return most

    @cached_property
    def flash_bytes(self) -> int | None:
        """Return the bytes of flash that the network's firmware needs; None where `format=c` does not support it."""
        return None if self.operations is None else firmware.flash_bytes(self.operations)

    @cached_property
    def sram_bytes(self) -> int | None:
        """Return the bytes of SRAM that the network's firmware needs; None where `format=c` does not support it."""
        operations = self.operations
        return None if operations is None else firmware.sram_bytes(operations, self.input_shape, self.num_classes)

    @cached_property
    def operations(self) -> tuple[firmware.Operation, ...] | None:
        """The integer operations of the network's firmware; None where `format=c` does not support it."""
        try:
            return firmware.fuse(self)
        except firmware.UnsupportedError:
            return None

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """The layer table: convolutions, norms, projections, pool and dense layers."""
        return tuple(row for layer in (*self.layers, *self.head) for row in _rows(layer))


def _rows(layer: PlannedLayer) -> Iterator[Row]:
    for step in layer.steps:
        if step.name in ("conv", "dense") or any(isinstance(op, Pool) and op.size is None for op in step.ops):
            params = sum(op.params for op in step.ops if layer.owns(op))
            label = " → ".join(op.label for op in step.ops)
            label += f" (weights of {layer.share})" if layer.share else ""
            yield Row(layer.name, label, params, sum(op.macs for op in step.ops), step.ops[-1].out_shape)
        elif step.name in ("norm", "scale", "pool"):
            op = step.ops[0]
            yield Row(f"{layer.name}.{step.name}", op.label, op.params, 0, op.out_shape)
        elif step.name == "add" and layer.projection is not None:
            op = layer.projection
            yield Row(f"{layer.name}.skip", f"{op.label} of {layer.skip}", op.params, op.macs, op.out_shape)


def _live_bytes(plan: Plan) -> Iterator[tuple[str, int]]:
    """Yield the layer of each step of one image's inference, and the bytes alive during it, one byte per element.

    Alive are the step's input, its output, and every earlier output that a later step still reads. An operation that
    works in place is no step, except where it would overwrite such an output: it writes a copy instead.
    """
    sizes = {"input": prod(plan.input_shape)}
    last_reader = {layer.skip: index for index, layer in enumerate(plan.layers) if layer.skip}
    previous = "input"
    for index, layer in enumerate((*plan.layers, *plan.head)):
        needed = {name: sizes[name] for name, last in last_reader.items() if name in sizes and last >= index}
        kept = sum(needed.values())
        input_is_kept = previous in needed
        for step in layer.steps:
            for op in step.ops:
                if op.in_place and not (input_is_kept and op.acts_at_inference):
                    continue
                others = kept - prod(op.in_shape) if input_is_kept else kept
                yield layer.name, prod(op.in_shape) + prod(op.out_shape) + others
                input_is_kept = False
            if step.name == "add":
                if layer.projection is not None:
                    yield layer.name, kept + 2 * prod(layer.projection.out_shape)  # its source is among the kept
                kept = sum(size for name, size in needed.items() if last_reader[name] > index)
        sizes[layer.name] = prod(layer.out_shape)
        previous = layer.name

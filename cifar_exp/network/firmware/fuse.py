"""From a plan to the integer operations of its firmware."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from cifar_exp.network.elementwise import Activation, Gate, Norm, Scale
from cifar_exp.network.firmware.operations import (
    INPUT,
    Atom,
    Epilogue,
    Key,
    Kind,
    Operation,
    Skip,
    spatial_parts,
)
from cifar_exp.network.ops import Conv, Dense, MixedDepthwise, Op, PadChannels, Pool, Shape

if TYPE_CHECKING:
    from cifar_exp.network.plan import Plan, PlannedLayer

CONVOLUTIONS = (Conv, MixedDepthwise, Dense)


class UnsupportedError(Exception):
    """A feature of a network that firmware does not support."""

    def __init__(self, layer: str, feature: str, reason: str) -> None:
        super().__init__(f"layer '{layer}': {feature} is not supported by format=c: {reason}.")


def fuse(plan: Plan) -> tuple[Operation, ...]:
    """Return the integer operations of a plan, in the order in which they run.

    Raises:
        UnsupportedError: a layer norm, a gate, or a number beyond those of the kernels; see the message.
    """
    fuser = _Fuser(plan)
    for layer in (*plan.layers, *plan.head):
        fuser.add_layer(layer, is_logits=layer is plan.head[-1])
    return tuple(fuser.operations)


def unsupported_feature(plan: Plan) -> str | None:
    """Return which layer has which feature that firmware does not support, and why; None where there is none."""
    try:
        fuse(plan)
    except UnsupportedError as error:
        return str(error)
    return None


def _is_depthwise(op: object) -> bool:
    return isinstance(op, MixedDepthwise) or (isinstance(op, Conv) and 1 < op.groups == op.in_shape[0])


class _Fuser:
    """Collects the operations of one layer after another."""

    def __init__(self, plan: Plan) -> None:
        self.operations: list[Operation] = []
        self._current = INPUT
        self._outputs = {INPUT: (INPUT, plan.input_shape)}
        self._sharing = {layer.share for layer in plan.layers if layer.share}
        self._weights: dict[Key, str] = {}
        self._names = {layer.name for layer in (*plan.layers, *plan.head)} | {INPUT}

    def add_layer(self, layer: PlannedLayer, is_logits: bool) -> None:
        """Append the operations of one layer."""
        self._layer, self._is_logits, self._count = layer, is_logits, 0
        shape = _as_map(layer.in_shape)
        atoms = _atoms(layer)
        while atoms:
            key, op = atoms[0]
            if isinstance(op, CONVOLUTIONS):
                atoms, shape = self._add_convolution(atoms, shape)
            elif isinstance(op, Pool):
                out_shape, epilogue = _as_map(op.out_shape), Epilogue(key=key, range_key=key)
                kind: Kind = "max_pool" if op.kind == "max" else "avg_pool"
                window = (min(op.window[0], shape[1]), min(op.window[1], shape[2]))
                self._append(kind, self._current, shape, out_shape, epilogue, window=window)
                atoms, shape = atoms[1:], out_shape
            else:
                epilogue, atoms = self._epilogue(None, atoms, may_clamp=False, full=False)
                self._append("elementwise", self._current, shape, shape, epilogue)
        self._outputs[layer.name] = (self._current, shape)

    def _append(
        self, kind: Kind, source: str, in_shape: Shape, out_shape: Shape, epilogue: Epilogue, **fields: Any
    ) -> None:
        name = self._layer.name
        while self._count and name in self._names:
            self._count += 1
            name = f"{self._layer.name}_{self._count}"
        self._names.add(name)
        self._count += 1
        operation = Operation(name, kind, source, in_shape, out_shape, epilogue, is_logits=self._is_logits, **fields)
        for feature, number, limit in _stored_numbers(operation):
            if number > limit:
                raise UnsupportedError(self._layer.name, f"{feature}={number}", f"the kernels take up to {limit}")
        self.operations.append(operation)
        self._current = name

    def _add_convolution(self, atoms: list[Atom], shape: Shape) -> tuple[list[Atom], Shape]:
        """Append a convolution with what one rounding can do behind it; return the atoms behind, and its shape."""
        (key, op), rest = atoms[0], atoms[1:]
        if isinstance(op, Dense):
            op = Conv(_as_map(op.in_shape), op.features)
        assert isinstance(op, (Conv, MixedDepthwise))
        kind: Kind = "conv"
        fields: dict[str, Any] = {"weights_of": self._weights_of(key)}
        conv_key = key
        if _is_depthwise(op):
            kind, fields["spatial"], fields["spatial_key"] = "depthwise", spatial_parts(op), key
            if pointwise := self._following_pointwise(op, rest):
                kind, op = "separable", pointwise
                fields["middle"], rest = self._epilogue(key, rest, may_clamp=False, full=False)
                conv_key, rest = rest[0].key, rest[1:]
        if kind != "depthwise":
            fields["conv"], fields["conv_key"] = op, conv_key
        epilogue, rest = self._epilogue(conv_key, rest, self._may_clamp(rest), full=kind != "depthwise")
        self._append(kind, self._current, shape, op.out_shape, epilogue, **fields)
        self._weights.setdefault(key, self._current)
        return rest, op.out_shape

    def _weights_of(self, key: Key) -> str:
        share = self._layer.share
        return self._weights[key._replace(layer=share)] if share else ""

    def _may_clamp(self, atoms: list[Atom]) -> bool:
        """Return whether a ReLU may work on the accumulator: a norm before it must not meet shared weights.

        A norm's negative factor is moved into the weights, which shared ones do not allow.
        """
        if self._layer.share is None and self._layer.name not in self._sharing:
            return True
        return bool(atoms) and isinstance(atoms[0].op, Activation)

    def _following_pointwise(self, op: Conv | MixedDepthwise, atoms: list[Atom]) -> Conv | None:
        """Return the 1×1 convolution with which a depthwise one is fused: one epilogue at most may be between them."""
        is_activated = False
        for _, following in atoms:
            if isinstance(following, Conv):
                is_pointwise = (following.kernel_size, following.stride, following.groups) == (1, 1, 1)
                return following if is_pointwise and op.in_shape[0] == op.out_shape[0] > 1 else None
            if is_activated or not isinstance(following, (Norm, Activation, Scale)):
                return None
            is_activated = isinstance(following, Activation)
        return None

    def _epilogue(
        self, main: Key | None, atoms: list[Atom], may_clamp: bool, full: bool
    ) -> tuple[Epilogue, list[Atom]]:
        """Take from the front of `atoms` what one rounding can do; return it and the rest.

        Args:
            main: The convolution ahead, None where there is none.
            atoms: What follows it.
            may_clamp: Whether a ReLU may work on the accumulator, with more behind it.
            full: Whether a skip may be projected by a 1×1 convolution on the way.
        """
        before: tuple[Atom, ...] = ()
        linear: list[Atom] = []
        is_clamped, skip, last = False, None, main
        for index, atom in enumerate(atoms):
            key, op = atom
            if isinstance(op, Activation):
                is_final = index + 1 == len(atoms) or not _is_linear(atoms[index + 1].op)
                if is_final or not may_clamp or op.kind != "relu" or is_clamped or skip is not None:
                    done = Epilogue(before, is_clamped, tuple(linear), op.kind, skip, last, key)
                    return done, atoms[index + 1 :]
                before, linear, is_clamped = tuple(linear), [], True
            elif not _is_linear(op) or (op is None and skip is not None):
                return Epilogue(before, is_clamped, tuple(linear), None, skip, last, last), atoms[index:]
            else:
                skip = self._skip(full) if op is None else skip
                linear.append(atom)
            last = key
        return Epilogue(before, is_clamped, tuple(linear), None, skip, last, last), []

    def _skip(self, full: bool) -> Skip:
        layer = self._layer
        assert layer.skip is not None
        tensor, shape = self._outputs[layer.skip]
        op, key = layer.projection, Key(layer.name, "projection")
        if op is None:
            return Skip(tensor, shape, 1, "identity")
        if isinstance(op, PadChannels):
            return Skip(tensor, shape, op.stride, "pad")
        assert isinstance(op, Conv)
        if _is_depthwise(op):
            return Skip(tensor, shape, op.stride, "scaled", key, op)
        if full:
            return Skip(tensor, shape, op.stride, "full", key, op)
        current = self._current
        epilogue = Epilogue(key=key, range_key=key)
        self._append("conv", tensor, shape, op.out_shape, epilogue, conv=op, conv_key=key)
        projected, self._current = self._current, current
        return Skip(projected, op.out_shape, 1, "identity")


def _stored_numbers(operation: Operation) -> Iterator[tuple[str, int, int]]:
    """Yield what the structs of the kernels store in 8 or 16 bits, in the user's words, with the greatest number."""
    skip = operation.epilogue.skip
    yield "channels", max(operation.in_shape[0], operation.out_shape[0]), 65535
    yield "kernel_sizes", len(operation.spatial), 255
    for conv in (*operation.spatial, *([operation.conv] if operation.conv else [])):
        if conv.kernel_size * conv.stride * conv.dilation > 255:  # otherwise each of these is less
            yield "kernel_size", conv.kernel_size, 255
            yield "stride", conv.stride, 255
            yield "dilation", conv.dilation, 255
            yield "padding", conv.dilation * (conv.kernel_size - 1) // 2, 255
    for part in operation.spatial:
        yield "outputs per channel", part.channels // part.in_shape[0], 255
    if skip is not None:
        yield "stride of the skip", skip.stride, 255
        if skip.kind == "scaled":
            yield "outputs per channel of the skip", operation.out_shape[0] // skip.shape[0], 255


def _as_map(shape: Shape) -> Shape:
    return shape if len(shape) == 3 else (*shape, 1, 1)


def _is_linear(op: Op | None) -> bool:
    return op is None or isinstance(op, (Norm, Scale))


def _atoms(layer: PlannedLayer) -> list[Atom]:
    """Return the operations of a layer and its addition, without what does nothing at inference."""
    atoms = []
    for name, ops in layer.steps:
        if name == "add":
            atoms.append(Atom(Key(layer.name, name), None))
        for index, op in enumerate(ops):
            if not op.acts_at_inference:
                continue
            if isinstance(op, Gate):
                raise UnsupportedError(layer.name, "conv_type=gated", "a gate multiplies two tensors")
            if isinstance(op, Norm) and op.kind != "batch":
                raise UnsupportedError(layer.name, f"norm={op.kind}", "it divides by a deviation of each pixel")
            atoms.append(Atom(Key(layer.name, name, index), op))
    return atoms

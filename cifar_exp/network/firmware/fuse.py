"""From a plan to the integer operations of its firmware."""

from __future__ import annotations

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
    pool_window,
    spatial_parts,
)
from cifar_exp.network.ops import Conv, Dense, GlobalPool, MixedDepthwise, PadChannels, Pool, Shape

if TYPE_CHECKING:
    from cifar_exp.network.plan import Plan, PlannedLayer


class UnsupportedError(Exception):
    """A feature of a network that firmware does not support."""

    def __init__(self, layer: str, feature: str, reason: str) -> None:
        super().__init__(f"layer '{layer}': {feature} is not supported by format=c: {reason}.")
        self.layer = layer
        self.feature = feature


def fuse(plan: Plan) -> tuple[Operation, ...]:
    """Return the integer operations of a plan, in the order in which they run.

    Raises:
        UnsupportedError: a layer norm or a gate; see the message.
    """
    fuser = _Fuser(plan)
    for layer in plan.layers:
        fuser.add_layer(layer)
    for layer in plan.head:
        fuser.add_layer(layer, is_logits=layer is plan.head[-1])
    return tuple(fuser.operations)


def operations_of(plan: Plan) -> tuple[Operation, ...] | None:
    """Return the integer operations of a plan, None where it has a feature that firmware does not support."""
    try:
        return fuse(plan)
    except UnsupportedError:
        return None


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

    def add_layer(self, layer: PlannedLayer, is_logits: bool = False) -> None:
        """Append the operations of one layer."""
        self._layer, self._is_logits, self._count = layer, is_logits, 0
        shape = layer.in_shape if len(layer.in_shape) == 3 else (*layer.in_shape, 1, 1)
        atoms = _atoms(layer)
        while atoms:
            op = atoms[0].op
            if isinstance(op, Conv | MixedDepthwise | Dense):
                atoms, shape = self._add_convolution(atoms, shape)
            elif isinstance(op, Pool | GlobalPool):
                key, out_shape = atoms[0].key, op.out_shape if len(op.out_shape) == 3 else (*op.out_shape, 1, 1)
                kind: Kind = "max_pool" if op.kind == "max" else "avg_pool"
                epilogue = Epilogue(key=key, range_key=key)
                self._append(kind, self._current, shape, out_shape, epilogue, window=pool_window(op))
                atoms, shape = atoms[1:], out_shape
            else:
                epilogue, rest = self._epilogue(None, atoms, relu=False, full=False)
                self._append("elementwise", self._current, shape, shape, epilogue)
                atoms = rest
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
        self.operations.append(
            Operation(name, kind, source, in_shape, out_shape, epilogue, is_logits=self._is_logits, **fields)
        )
        self._current = name

    def _add_convolution(self, atoms: list[Atom], shape: tuple[int, ...]) -> tuple[list[Atom], tuple[int, ...]]:
        (key, op), rest = atoms[0], atoms[1:]
        if isinstance(op, Dense):
            op = Conv((*op.in_shape, 1, 1), op.features)
        assert isinstance(op, Conv | MixedDepthwise)
        if not _is_depthwise(op):
            assert isinstance(op, Conv)
            epilogue, rest = self._epilogue(key, rest, relu=self._may_clamp(rest), full=True)
            out_shape = op.out_shape
            self._append(
                "conv", self._current, shape, out_shape, epilogue, conv=op, conv_key=key,
                weights_of=self._weights_of(key),
            )  # fmt: skip
        else:
            parts = spatial_parts(op)
            pointwise = self._following_pointwise(op, rest)
            weights_of = self._weights_of(key)
            if pointwise is not None:
                middle, rest = self._epilogue(key, rest, relu=False, full=False)
                (conv_key, conv), rest = rest[0], rest[1:]
                assert isinstance(conv, Conv)
                epilogue, rest = self._epilogue(conv_key, rest, relu=self._may_clamp(rest), full=True)
                out_shape = conv.out_shape
                self._append(
                    "separable", self._current, shape, out_shape, epilogue, conv=conv, conv_key=conv_key,
                    spatial=parts, spatial_key=key, middle=middle, weights_of=weights_of,
                )  # fmt: skip
            else:
                epilogue, rest = self._epilogue(key, rest, relu=self._may_clamp(rest), full=False)
                out_shape = op.out_shape
                self._append(
                    "depthwise", self._current, shape, out_shape, epilogue, spatial=parts, spatial_key=key,
                    weights_of=weights_of,
                )  # fmt: skip
        self._weights.setdefault(key, self._current)
        return rest, out_shape

    def _weights_of(self, key: Key) -> str:
        share = self._layer.share
        return self._weights[key._replace(layer=share)] if share else ""

    def _may_clamp(self, atoms: list[Atom]) -> bool:
        """Whether a ReLU may work on the accumulator: a norm before it must not meet shared weights.

        A norm's negative factor is moved into the weights, which shared ones do not allow.
        """
        if self._layer.share is None and self._layer.name not in self._sharing:
            return True
        return bool(atoms) and isinstance(atoms[0].op, Activation)

    def _following_pointwise(self, op: Conv | MixedDepthwise, atoms: list[Atom]) -> Conv | None:
        """The 1×1 convolution with which a depthwise one is fused: one epilogue at most may be between them."""
        if op.in_shape[0] != op.out_shape[0]:
            return None
        for index, atom in enumerate(atoms):
            if isinstance(atom.op, Conv):
                between = [type(one.op) for one in atoms[:index]]
                is_last = Activation not in between or between.index(Activation) == len(between) - 1
                fits = (atom.op.kernel_size, atom.op.stride, atom.op.groups) == (1, 1, 1)
                return atom.op if fits and is_last and atom.op.in_shape[0] > 1 else None
            if not isinstance(atom.op, Norm | Activation | Scale):
                return None
        return None

    def _epilogue(self, main: Key | None, atoms: list[Atom], relu: bool, full: bool) -> tuple[Epilogue, list[Atom]]:
        """Take from the front of `atoms` what one rounding can do; return it and the rest."""
        before: list[Atom] = []
        after: list[Atom] = []
        is_clamped, skip, last = False, None, main
        while atoms:
            key, op = atoms[0]
            if isinstance(op, Activation):
                is_final = not (len(atoms) > 1 and _is_linear(atoms[1]))
                if not (relu and op.kind == "relu" and not is_final and not is_clamped and skip is None):
                    epilogue = Epilogue(
                        tuple(before) if is_clamped else (), is_clamped,
                        tuple(after) if is_clamped else tuple(before), op.kind, skip, last or key, key,
                    )  # fmt: skip
                    return epilogue, atoms[1:]
                is_clamped = True
            elif not _is_linear(atoms[0]):
                break
            elif op is None:
                if skip is not None:
                    break
                skip = self._skip(full)
                (after if is_clamped else before).append(atoms[0])
            else:
                (after if is_clamped else before).append(atoms[0])
            last, atoms = key, atoms[1:]
        epilogue = Epilogue(
            tuple(before) if is_clamped else (), is_clamped, tuple(after) if is_clamped else tuple(before),
            None, skip, last, last,
        )  # fmt: skip
        return epilogue, atoms

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


def _is_linear(atom: Atom) -> bool:
    return atom.op is None or isinstance(atom.op, (Norm, Scale))


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

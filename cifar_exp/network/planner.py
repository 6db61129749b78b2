"""From a checked model's YAML to its plan: what the layers make of one input shape, and whether they fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from cifar_exp.errors import UserError
from cifar_exp.network.conv_types import CONV_TYPES
from cifar_exp.network.elementwise import Activation, Dropout, Norm, Scale
from cifar_exp.network.ops import Conv, Dense, MixedDepthwise, Op, Pool, Shape
from cifar_exp.network.plan import Plan, PlannedLayer, PlannedStep
from cifar_exp.network.projections import PROJECTIONS, stride_between
from cifar_exp.network.spec import LayerSpec, ModelSpec, unknown_sources


def plan_network(spec: ModelSpec, input_shape: tuple[int, int, int], num_classes: int) -> Plan:
    """Return the plan of `spec` for images of `input_shape` (channels, height, width).

    Raises UserError where a name is unknown or shapes do not fit.
    """
    if errors := unknown_sources(spec.layers):
        raise UserError("\n".join(errors))
    shapes: dict[str, Shape] = {"input": input_shape}
    shape: Shape = input_shape
    layers: dict[str, PlannedLayer] = {}
    for name, layer in spec.layers.items():
        layers[name] = _plan_layer(name, layer, shape, shapes, layers)
        shape = shapes[name] = layers[name].out_shape
    return Plan(spec.name, input_shape, num_classes, tuple(layers.values()), _plan_head(spec, shape, num_classes))


def _plan_layer(
    name: str,
    layer: LayerSpec,
    in_shape: Shape,
    shapes: Mapping[str, Shape],
    earlier: Mapping[str, PlannedLayer],
) -> PlannedLayer:
    where = f"model.layers.{name}"
    conv_type = CONV_TYPES[layer.conv_type]
    _check_order(layer, where)
    shape, steps, projection = in_shape, [], None
    for step in layer.order:
        ops: tuple[Op, ...]
        if step == "conv":
            try:
                ops = tuple(conv_type.ops(shape, layer))
            except ValueError as error:
                raise UserError(f"{where}: {error}.") from None
        elif step == "pool":
            ops = (Pool(shape, layer.pool, layer.pool_size),) if layer.pool else ()
        else:
            ops = _elementwise(step, shape, layer.activation, layer.norm, layer.dropout, layer.layer_scale)
        if step == "add" and layer.skip is not None:
            projection = _plan_skip(name, layer, shape, shapes)
            steps.append(PlannedStep(step, ()))
        elif ops:
            steps.append(PlannedStep(step, ops))
            shape = ops[-1].out_shape
    planned = PlannedLayer(name, tuple(steps), in_shape, shape, layer.skip, projection, layer.share)
    if layer.share is not None:
        _check_share(planned, earlier)
    return planned


def _elementwise(
    step: str,
    shape: Shape,
    activation: str | None,
    norm: str | None,
    dropout: float,
    layer_scale: float = 1.0,
) -> tuple[Op, ...]:
    if step == "activation" and activation:
        return (Activation(shape, activation),)
    if step == "norm" and norm:
        return (Norm(shape, norm),)
    if step == "dropout" and dropout:
        return (Dropout(shape, dropout),)
    if step == "scale":
        return (Scale(shape, layer_scale),)
    return ()


def _plan_skip(name: str, layer: LayerSpec, shape: Shape, shapes: Mapping[str, Shape]) -> Op | None:
    where, source = f"model.layers.{name}", layer.skip or ""
    projection = PROJECTIONS[layer.projection]
    if shapes[source] == shape:
        return None
    try:
        return projection.op(shapes[source], shape, stride_between(shapes[source], shape), layer.bias)
    except ValueError as error:
        raise UserError(
            f"{where}: the skip from '{source}' {list(shapes[source])} does not fit "
            f"'{name}' {list(shape)} (channels, height, width): {error}."
        ) from None


def _check_share(layer: PlannedLayer, earlier: Mapping[str, PlannedLayer]) -> None:
    where, source = f"model.layers.{layer.name}.share", layer.share or ""
    if earlier[source].share is not None:
        raise UserError(f"{where}: '{source}' shares weights itself; name '{earlier[source].share}' instead.")
    mine, theirs = (
        [replace(op, in_shape=(op.in_shape[0], 1, 1)) for op in planned.ops if isinstance(op, Conv | MixedDepthwise)]
        for planned in (layer, earlier[source])
    )
    if mine != theirs:
        raise UserError(
            f"{where}: the convolutions of '{source}' and '{layer.name}' differ in kernel, stride or channels."
        )


def _plan_head(spec: ModelSpec, in_shape: Shape, num_classes: int) -> tuple[PlannedLayer, ...]:
    defaults, head = spec.layer, spec.head
    pool = Pool(in_shape, head.pool)
    shape = pool.out_shape
    layers = [PlannedLayer("pool", (PlannedStep("pool", (pool,)),), in_shape, shape)]
    for index, features in enumerate(head.hidden, start=1):
        dense = Dense(shape, features)
        steps = [
            PlannedStep("dense", (dense,))
            if step == "conv"
            else PlannedStep(
                step, _elementwise(step, dense.out_shape, defaults.activation, defaults.norm, head.dropout)
            )
            for step in _dense_order(defaults.order)
        ]
        used = tuple(step for step in steps if step.ops)
        layers.append(PlannedLayer(f"dense{index}", used, shape, dense.out_shape))
        shape = dense.out_shape
    logits = Dense(shape, num_classes)
    layers.append(PlannedLayer("logits", (PlannedStep("dense", (logits,)),), shape, logits.out_shape))
    return tuple(layers)


def _dense_order(order: Sequence[str]) -> list[str]:
    """Return a layer's steps for a dense layer: what stands before the convolution would work on its input's shape."""
    before = order.index("conv")
    return ["conv", *order[:before], *order[before + 1 :]] if before else list(order)


def _check_order(layer: LayerSpec, where: str) -> None:
    for field, step in (("skip", "add"), ("pool", "pool")):
        if getattr(layer, field) is not None and step not in layer.order:
            raise UserError(f"{where}: has a {field}, but its order has no '{step}': {', '.join(layer.order)}.")

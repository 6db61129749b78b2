"""What a user writes about a network: the model language as a typed schema."""

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from cifar_exp.errors import did_you_mean

Step = Literal["conv", "activation", "norm", "dropout", "add", "scale", "pool"]
PositiveInt = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(ge=0.0, lt=1.0)]


class Spec(BaseModel):
    """Strict, closed, immutable: an unknown key or a wrong type is an error."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


def _number_as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


Name = Annotated[str, BeforeValidator(_number_as_text)]  # `name=50` is read as a number


class LayerDefaults(Spec):
    """What every layer starts from (`model.layer`)."""

    channels: PositiveInt | None = None  # output channels; required of each layer, here or there
    conv_type: str = "standard"  # a name in `conv_types.CONV_TYPES`
    kernel_size: PositiveInt = 3  # square kernels
    stride: PositiveInt = 1  # the map shrinks to ceil(size / stride)
    dilation: PositiveInt = 1  # distance between the taps of the kernel
    groups: PositiveInt = 1  # groups of the channel-mixing convolution
    bias: bool = True  # of convolutions; dense layers always have one
    order: list[Step] = ["conv", "activation", "norm", "dropout", "add"]
    activation: str | None = "relu"  # a name in `elementwise.ACTIVATIONS`
    norm: str | None = "batch"  # a name in `elementwise.NORMS`
    dropout: Rate = 0.0
    skip: str | None = None  # an earlier layer, or `input`: its output is added at `add`
    projection: str = "conv1x1"  # a name in `projections.PROJECTIONS`
    expansion: Annotated[float, Field(gt=0.0)] = 4.0  # inverted_residual: inner width / input width
    kernel_sizes: Annotated[list[PositiveInt], Field(min_length=1)] = [3, 5, 7]  # mixed: one a split; 1: as it is
    dilations: Annotated[list[PositiveInt], Field(min_length=1)] | None = None  # one a split; null: `dilation` for all
    share: str | None = None  # an earlier layer whose convolution weights this one uses too
    pool: Literal["max", "avg"] | None = None  # `pool`: the largest or the mean value of each window
    pool_size: Annotated[int, Field(ge=2)] = 2  # side of the windows, which do not overlap
    layer_scale: Annotated[float, Field(gt=0.0)] = 0.1  # `scale`: where the learned scale a channel starts

    @field_validator("conv_type", "activation", "norm", "projection")
    @classmethod
    def _is_registered(cls, name: str | None, info: ValidationInfo) -> str | None:
        known = _registered(str(info.field_name))
        if name is not None and name not in known:
            about = {"name": name, "hint": did_you_mean(name, known), "known": ", ".join(known)}
            raise PydanticCustomError("unknown_name", "unknown '{name}'.{hint}\nKnown: {known}", about)
        return name

    @field_validator("order")
    @classmethod
    def _order_is_sensible(cls, order: list[Step]) -> list[Step]:
        if order.count("conv") != 1:
            raise ValueError("expected exactly one 'conv' among the steps")
        repeated = sorted({step for step in order if order.count(step) > 1})
        if repeated:
            raise ValueError(f"'{repeated[0]}' stands twice, each step may stand once")
        if "add" in order and order.index("add") < order.index("conv"):
            raise ValueError("'add' must come after 'conv'")
        return order


@cache
def _registered(field: str) -> list[str]:
    from cifar_exp.network.conv_types import CONV_TYPES
    from cifar_exp.network.elementwise import ACTIVATIONS, NORMS
    from cifar_exp.network.projections import PROJECTIONS

    registries: dict[str, Iterable[str]] = {"conv_type": CONV_TYPES, "activation": ACTIVATIONS, "norm": NORMS}
    return [*registries.get(field, PROJECTIONS)]


class LayerSpec(LayerDefaults):
    """One layer, its defaults filled in."""

    channels: PositiveInt


class HeadSpec(Spec):
    """What turns the last map into logits."""

    pool: Literal["max", "avg"] = "max"  # over the whole map
    hidden: list[PositiveInt] = []  # widths of the dense layers before the last
    dropout: Rate = 0.0  # of the hidden dense layers; the other steps are those of `model.layer`


class ModelSpec(Spec):
    """A network: layers in order, then the head."""

    name: Name
    layer: LayerDefaults = LayerDefaults()
    layers: Annotated[dict[str, LayerSpec], Field(min_length=1)]
    head: HeadSpec = HeadSpec()

    @model_validator(mode="before")
    @classmethod
    def _layers_start_from_layer(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or not isinstance(data.get("layers"), Mapping):
            return data
        defaults = data.get("layer") or {}
        if not isinstance(defaults, Mapping):
            return data
        fields = LayerDefaults.model_fields
        known = {key: value for key, value in defaults.items() if key in fields}
        if known.get("channels", 1) is None:
            del known["channels"]
        layers = {
            name: {**known, **(entry or {})} if isinstance(entry, Mapping | None) else entry
            for name, entry in data["layers"].items()
        }
        return {**data, "layers": layers}

    @field_validator("layers")
    @classmethod
    def _names_can_be_used(cls, layers: dict[str, LayerSpec]) -> dict[str, LayerSpec]:
        for name in layers:
            if name == "input" or not re.fullmatch(r"\w[\w-]*", name):
                raise ValueError(f"'{name}' cannot name a layer: expected letters, digits, _ and -, and not 'input'")
        return layers


def unknown_sources(layers: Mapping[Any, Any]) -> list[str]:
    """Return an error for each `skip` and `share` that names no earlier layer; entries may be wrong in other ways."""
    errors, earlier = [], ["input"]
    for name, layer in layers.items():
        for field in ("skip", "share"):
            source = layer.get(field) if isinstance(layer, Mapping) else getattr(layer, field, None)
            known = earlier if field == "skip" else earlier[1:]
            if isinstance(source, str) and source not in known:
                hint = did_you_mean(source, known)
                where = f"model.layers.{name}.{field}: '{source}' is no layer before '{name}'.{hint}"
                errors.append(f"{where}\nKnown: {', '.join(known)}." if known else where)
        earlier.append(str(name))
    return errors

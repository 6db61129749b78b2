"""Networks drawn at random from the model language."""

from typing import Any

from hypothesis import strategies as st

from cifar_exp.network.conv_types import CONV_TYPES
from cifar_exp.network.elementwise import ACTIVATIONS, NORMS

ORDERS = [
    ["conv", "activation", "norm", "dropout", "add"],
    ["conv", "norm", "add", "activation"],
    ["norm", "activation", "conv", "dropout", "add"],
    ["conv", "norm", "activation", "scale", "add"],
    ["conv", "add"],
    ["conv", "pool", "norm", "activation", "add"],
    ["conv", "norm", "add", "activation", "pool"],
    ["activation", "conv", "norm", "add"],
    ["dropout", "norm", "conv", "activation", "add"],
    ["scale", "pool", "norm", "activation", "conv", "add"],
]


@st.composite
def layers(draw: st.DrawFn, earlier: list[str]) -> dict[str, Any]:
    """One layer whose channels are multiples of the input's, so that every conv type fits."""
    layer: dict[str, Any] = {
        "channels": draw(st.sampled_from([12, 24])),
        "conv_type": draw(st.sampled_from(sorted(CONV_TYPES))),
        "kernel_size": draw(st.integers(1, 5)),
        "stride": draw(st.sampled_from([1, 1, 2, 3])),
        "dilation": draw(st.integers(1, 2)),
        "bias": draw(st.booleans()),
        "order": draw(st.sampled_from(ORDERS)),
        "activation": draw(st.none() | st.sampled_from(sorted(ACTIVATIONS))),
        "norm": draw(st.none() | st.sampled_from(sorted(NORMS))),
        "dropout": draw(st.sampled_from([0.0, 0.3])),
        "expansion": draw(st.sampled_from([0.5, 1.0, 2.5])),
        "kernel_sizes": draw(st.lists(st.sampled_from([1, 3, 4, 7]), min_size=1, max_size=3)),
    }
    if "pool" in layer["order"]:
        layer |= {"pool": draw(st.none() | st.sampled_from(["max", "avg"])), "pool_size": draw(st.integers(2, 3))}
    if draw(st.booleans()):
        layer["dilations"] = [draw(st.integers(1, 3)) for _ in layer["kernel_sizes"]]
    if layer["conv_type"] == "depthwise":
        layer["channels"] = 24
    if "add" in layer["order"] and earlier and draw(st.booleans()):
        layer["skip"] = draw(st.sampled_from(earlier))
        layer["projection"] = draw(st.sampled_from(["conv1x1", "conv1x1", "depthwise1x1", "pad"]))
    return layer


@st.composite
def models(draw: st.DrawFn) -> dict[str, Any]:
    """A whole model whose skips go forward to maps that are not larger."""
    names = [f"layer{index}" for index in range(draw(st.integers(1, 5)))]
    drawn: dict[str, Any] = {}
    earlier: list[str] = []
    for name in names:
        drawn[name] = draw(layers(earlier))
        earlier = [name] if drawn[name]["stride"] == 3 else [*earlier, name]
    return {
        "name": "drawn",
        "layers": drawn,
        "head": {
            "pool": draw(st.sampled_from(["max", "avg"])),
            "hidden": draw(st.lists(st.integers(1, 16), max_size=2)),
            "dropout": 0.1,
        },
    }

"""The model language: what it accepts, what it builds, and how it reports errors."""

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from cifar_exp.errors import UserError
from cifar_exp.network import ModelSpec, Plan, build_network, plan_network
from cifar_exp.network.conv_types import CONV_TYPES
from cifar_exp.network.elementwise import ACTIVATIONS, NORMS
from cifar_exp.network.ops import Pool


def plan(layers: dict[str, Any], layer: dict[str, Any] | None = None, head: dict[str, Any] | None = None) -> Plan:
    spec = ModelSpec.model_validate({"name": "n", "layer": layer or {}, "layers": layers, "head": head or {}})
    return plan_network(spec, (12, 16, 16), 10)


def message(layers: dict[str, Any], layer: dict[str, Any] | None = None) -> str:
    with pytest.raises((UserError, ValidationError)) as caught:
        plan(layers, layer)
    return str(caught.value)


def test_a_layer_starts_from_the_defaults_and_lists_what_differs() -> None:
    planned = plan({"a": {}, "b": {"channels": 4, "norm": None}}, layer={"channels": 6, "dropout": 0.5})
    assert [step.name for step in planned.layers[0].steps] == ["conv", "activation", "norm", "dropout"]
    assert [step.name for step in planned.layers[1].steps] == ["conv", "activation", "dropout"]
    assert planned.layers[0].out_shape[0] == 6


@pytest.mark.parametrize("name", [*CONV_TYPES])
@pytest.mark.parametrize("stride", [1, 2])
def test_every_conv_type_trains_a_step(name: str, stride: int) -> None:
    network = build_network(plan({"a": {"channels": 24, "conv_type": name, "stride": stride}}))
    network(torch.randn(4, 12, 16, 16)).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("kind", NORMS)
def test_every_norm_builds_for_maps_and_for_features(kind: str) -> None:
    network = build_network(plan({"a": {"channels": 8}}, layer={"norm": kind}, head={"hidden": [6]}))
    assert network(torch.randn(4, 12, 16, 16)).shape == (4, 10)


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_every_activation_builds(kind: str) -> None:
    network = build_network(plan({"a": {"channels": 8, "activation": kind}}))
    assert network(torch.randn(2, 12, 16, 16)).isfinite().all()


def test_steps_run_in_the_order_that_is_written() -> None:
    network = build_network(
        plan({"a": {"channels": 12, "skip": "input", "order": ["conv", "norm", "add", "activation"]}})
    )
    layer = network.layers["a"]
    assert list(layer.steps) == ["conv", "norm", "add", "activation"]
    images = torch.randn(2, 12, 16, 16)
    network.eval()
    expected = torch.relu(layer.steps["norm"](layer.steps["conv"](images)) + images)
    torch.testing.assert_close(layer(images, images), expected)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "order",
    [
        ["activation", "conv", "add"],
        ["dropout", "activation", "conv", "norm", "add"],
        ["norm", "activation", "conv", "add"],
        ["conv", "dropout", "activation", "norm", "add"],
        ["conv", "norm", "add", "activation"],
    ],
    ids=" ".join,
)
def test_no_layer_changes_the_output_of_another(order: list[str], training: bool) -> None:
    layer = {"channels": 12, "order": order, "dropout": 0.1}
    network = build_network(plan({"a": {}, "b": {"skip": "input"}, "c": {"skip": "a"}}, layer)).train(training)
    read: list[tuple[torch.Tensor, torch.Tensor]] = []
    for layers in network.layers.values():
        layers.register_forward_pre_hook(lambda _, inputs: read.extend((given, given.clone()) for given in inputs[:1]))
    images = torch.randn(2, 12, 16, 16)
    network(images).sum().backward()
    assert len(read) == 3
    assert all(torch.equal(given, before) for given, before in read)


def test_what_a_relu_reads_is_overwritten_where_the_layer_made_it() -> None:
    network = build_network(plan({"a": {"channels": 8, "conv_type": "inverted_residual"}}))
    assert {module.inplace for module in network.modules() if isinstance(module, nn.ReLU)} == {True}


@pytest.mark.parametrize("conv_type", ["depthwise", "separable", "inverted_residual", "mixed", "gated"])
def test_a_depthwise_convolution_on_a_processor_stays_in_float32_under_autocast(conv_type: str) -> None:
    network = build_network(plan({"a": {"channels": 12, "conv_type": conv_type, "kernel_sizes": [3, 5]}}))
    made: dict[bool, set[torch.dtype]] = {True: set(), False: set()}
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda conv, _, output: made[conv.groups > 1].add(output.dtype))
    images = torch.randn(2, 12, 16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        network(images).sum().backward()
    assert made == {True: {torch.float32}, False: set() if conv_type == "depthwise" else {torch.bfloat16}}


def test_a_skip_of_the_same_shape_is_an_identity_whatever_the_projection() -> None:
    for projection in ("conv1x1", "depthwise1x1", "pad", "identity"):
        planned = plan({"a": {"channels": 8}, "b": {"channels": 8, "skip": "a", "projection": projection}})
        assert planned.layers[1].projection is None


@pytest.mark.parametrize(
    ("projection", "channels", "params"),
    [("conv1x1", 16, 8 * 16 + 16), ("depthwise1x1", 16, 32), ("pad", 16, 0)],
)
def test_a_projection_brings_a_skip_to_shape(projection: str, channels: int, params: int) -> None:
    layers = {
        "a": {"channels": 8},
        "b": {"channels": channels, "stride": 2, "skip": "a", "projection": projection},
    }
    planned = plan(layers)
    assert planned.layers[1].projection is not None
    assert planned.layers[1].projection.params == params
    assert build_network(planned)(torch.randn(2, 12, 16, 16)).shape == (2, 10)


def test_a_strided_projection_of_few_channels_trains_on_every_processor() -> None:
    planned = plan({"a": {"channels": 4}, "b": {"channels": 8, "stride": 2, "skip": "a"}})
    projection = build_network(planned).layers["b"].projection
    x = torch.randn(128, 4, 16, 16).to(memory_format=torch.channels_last)
    projected = projection(x)
    strided = nn.functional.conv2d(x, projection.weight, projection.bias, stride=2)
    torch.testing.assert_close(projected, strided)
    projected.square().mean().backward()  # ended the process, on processors without AVX-512
    assert projection.weight.grad.isfinite().all()


def test_option_a_subsamples_and_pads_with_zero_channels() -> None:
    planned = plan({"a": {"channels": 8}, "b": {"channels": 9, "stride": 2, "skip": "a", "projection": "pad"}})
    x = torch.randn(1, 8, 16, 16)
    shortcut = build_network(planned).layers["b"].projection(x)
    torch.testing.assert_close(shortcut[:, :8], x[:, :, ::2, ::2])
    assert shortcut[:, 8].abs().sum() == 0


def test_separable_is_a_depthwise_without_bias_that_strides_then_a_1x1_with_bias() -> None:
    conv = build_network(plan({"a": {"channels": 8, "conv_type": "separable", "stride": 2}})).layers["a"].steps["conv"]
    depthwise, pointwise = conv
    assert isinstance(depthwise, nn.Conv2d)
    assert (depthwise.groups, depthwise.bias, depthwise.stride) == (12, None, (2, 2))
    assert (pointwise.kernel_size, pointwise.stride, pointwise.bias is not None) == ((1, 1), (1, 1), True)


def test_a_kernel_of_size_1_among_mixed_ones_passes_its_split_as_it_is() -> None:
    layer = {"channels": 12, "conv_type": "mixed", "kernel_sizes": [3, 1, 5], "stride": 2}
    planned = plan({"a": layer})
    conv = planned.layers[0].steps[0].ops[0]
    assert (conv.params, conv.macs) == (4 * 9 + 4 * 25, (4 * 9 + 4 * 25) * 8 * 8)
    mixed = build_network(planned).layers["a"].steps["conv"][0]
    x = torch.randn(2, 12, 16, 16)
    torch.testing.assert_close(mixed(x)[:, 4:8], x[:, 4:8, ::2, ::2])


def test_each_of_the_mixed_kernels_may_have_a_dilation_of_its_own() -> None:
    layer = {"channels": 12, "conv_type": "gated", "kernel_sizes": [1, 3, 3], "dilations": [1, 1, 2]}
    planned = plan({"a": layer})
    _, near, far = build_network(planned).layers["a"].steps["conv"][0].parts
    assert (near.dilation, far.dilation) == ((1, 1), (2, 2))
    assert next(row.type for row in planned.rows).startswith("mixed depthwise 1/3/3·2 ")
    with pytest.raises(UserError, match="as many dilations as kernel_sizes, got 1 for 3"):
        plan({"a": {**layer, "dilations": [2]}})


def test_shared_weights_are_the_same_tensor() -> None:
    layers = {
        "a": {"channels": 12, "conv_type": "separable"},
        "b": {"channels": 12, "conv_type": "separable", "share": "a"},
    }
    network = build_network(plan(layers))
    mine, theirs = network.layers["b"].steps["conv"], network.layers["a"].steps["conv"]
    assert [p.data_ptr() for p in mine.parameters()] == [p.data_ptr() for p in theirs.parameters()]


def test_layers_may_have_the_names_of_methods() -> None:
    names = ["values", "half", "items", "type", "keys", "2nd-layer"]
    network = build_network(plan({name: {"channels": 12} for name in names}))
    assert list(network.layers) == names
    assert network(torch.randn(2, 12, 16, 16)).shape == (2, 10)


def test_an_unknown_conv_type_gets_the_nearest_name() -> None:
    assert "Did you mean 'separable'?" in message({"a": {"channels": 8, "conv_type": "seperable"}})


@pytest.mark.parametrize(("key", "value"), [("norm", "bacth"), ("activation", "rleu"), ("projection", "conv1*1")])
def test_an_unknown_name_is_reported_with_its_place(key: str, value: str) -> None:
    text = message({"a": {"channels": 8}, "b": {"channels": 9, "skip": "a", key: value}})
    assert f"layers.b.{key}\n  unknown '{value}'. Did you mean" in text


def test_a_skip_from_a_later_layer_names_what_may_be_used() -> None:
    text = message({"a": {"channels": 8, "skip": "b"}, "b": {"channels": 8}})
    assert "'b' is no layer before 'a'" in text
    assert "input" in text


def test_a_skip_from_an_unknown_layer_gets_the_nearest_name() -> None:
    assert "Did you mean 'conv1'?" in message({"conv1": {"channels": 8}, "b": {"channels": 8, "skip": "cnov1"}})


def test_identity_that_does_not_fit_names_both_layers_and_both_shapes() -> None:
    text = message({"a": {"channels": 8}, "b": {"channels": 9, "skip": "a", "projection": "identity"}})
    for part in ("'a'", "'b'", "[8, 16, 16]", "[9, 16, 16]"):
        assert part in text


def test_a_skip_without_an_add_is_an_error() -> None:
    assert "no 'add'" in message({"a": {"channels": 8, "skip": "input", "order": ["conv", "norm"]}})


def test_a_pool_without_its_step_is_an_error() -> None:
    assert "no 'pool'" in message({"a": {"channels": 8, "pool": "max"}})


def test_pools_take_the_largest_or_the_mean_of_windows_that_may_be_smaller_at_the_edges() -> None:
    pixels = torch.arange(9.0).view(1, 1, 3, 3)
    for kind, expected in (("max", [[4.0, 5.0], [7.0, 8.0]]), ("avg", [[2.0, 3.5], [6.5, 8.0]])):
        assert Pool((1, 3, 3), kind, 2).module()(pixels)[0, 0].tolist() == expected


def test_groups_that_do_not_divide_are_an_error() -> None:
    assert "groups=5 does not divide the 12 input channels" in message({"a": {"channels": 10, "groups": 5}})


def test_depthwise_needs_a_multiple_of_the_channels() -> None:
    assert "gives a multiple of them, not 13" in message({"a": {"channels": 13, "conv_type": "depthwise"}})


@pytest.mark.parametrize("different", [{"channels": 8}, {"kernel_size": 5}, {"stride": 2}, {"dilation": 2}], ids=str)
@pytest.mark.parametrize("conv_type", ["standard", "mixed"])
def test_sharing_weights_that_differ_is_an_error(conv_type: str, different: dict[str, Any]) -> None:
    if conv_type == "mixed" and "kernel_size" in different:
        different = {"kernel_sizes": [3, 5, 9]}
    source = {"channels": 12, "conv_type": conv_type}
    assert "differ in kernel, stride or channels" in message({"a": source, "b": {**source, **different, "share": "a"}})


@pytest.mark.parametrize(
    "layers",
    [
        {},
        {"a": {}},
        {"a": {"channels": 0}},
        {"a": {"channels": "8"}},
        {"a": {"channels": 8, "chanels": 9}},
        {"a": {"channels": 8, "dropout": 1.0}},
        {"a": {"channels": 8, "order": ["norm"]}},
        {"a": {"channels": 8, "order": ["conv", "pool"], "pool": "median"}},
        {"a": {"channels": 8, "order": ["conv", "pool"], "pool": "max", "pool_size": 1}},
        {"a": {"channels": 8, "order": ["add", "conv"]}},
        {"a": {"channels": 8, "order": ["conv", "norm", "norm"]}},
        {"input": {"channels": 8}},
        {"a b": {"channels": 8}},
    ],
    ids=str,
)
def test_what_the_schema_refuses(layers: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        plan(layers)

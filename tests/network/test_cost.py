"""The cost of a plan: the contract's figures, and what is counted on the real modules."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from cifar_exp.config.location import conf_dir
from cifar_exp.errors import UserError
from cifar_exp.network import Budget, ModelSpec, Plan, build_network, check_budget, plan_network
from cifar_exp.network.cost import cost_line, costs_of
from tests.network.liveness import live_bytes
from tests.network.strategies import models

SHIPPED = sorted((conf_dir() / "model").glob("*.yaml"))

CONTRACT = {  # params, trainable, MACs, peak activation bytes
    "model1": (704_842, 703_114, 12_035_328, 12_288),
    "model2": (104_106, 102_378, 1_650_944, 11_264),
    "model3": (706_954, 705_226, 12_166_400, 16_384),
    "model50k": (49_803, 48_559, 795_392, 24_576),
    "resnet8": (78_666, 78_186, 12_501_632, 49_152),
}


def load(path: Path) -> ModelSpec:
    return ModelSpec.model_validate(yaml.safe_load(path.read_text()))


def plan(model: dict[str, Any], shape: tuple[int, int, int] = (3, 32, 32), classes: int = 10) -> Plan:
    return plan_network(ModelSpec.model_validate(model), shape, classes)


def counted_params(network: nn.Module) -> tuple[int, int]:
    trainable = sum(p.numel() for p in network.parameters())
    running = sum(b.numel() for name, b in network.named_buffers() if not name.endswith("num_batches_tracked"))
    return trainable + running, trainable


def counted_macs(network: nn.Module, images: Tensor) -> int:
    """MACs of convolutions and dense layers, counted on what really runs."""
    total = 0

    def count(module: nn.Module, _: Any, output: Tensor) -> None:
        nonlocal total
        weight = module.weight
        assert isinstance(weight, Tensor)
        total += output[0, 0].numel() * weight.numel() if isinstance(module, nn.Conv2d) else weight.numel()

    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(count)
    network.eval()(images)
    return total


def reject_unless(error: UserError, *reasons: str) -> None:
    if not any(reason in str(error) for reason in reasons):
        raise error
    reject()


def assert_plan_matches_modules(planned: Plan) -> None:
    network = build_network(planned)
    images = torch.randn(1, *planned.input_shape)
    assert counted_params(network) == (planned.params, planned.trainable_params)
    assert counted_macs(network, images) == planned.macs
    shapes = {}
    for name, layer in network.layers.items():
        layer.register_forward_hook(lambda _m, _i, output, name=name: shapes.update({name: tuple(output.shape[1:])}))
    assert network(images).shape == (1, planned.num_classes)
    assert shapes == {layer.name: layer.out_shape for layer in planned.layers}


@pytest.mark.parametrize("name", CONTRACT)
def test_reference_networks_cost_exactly_what_the_contract_lists(name: str) -> None:
    planned = plan_network(load(conf_dir() / "model" / f"{name}.yaml"), (3, 32, 32), 10)
    cost = (planned.params, planned.trainable_params, planned.macs, planned.peak_activation_bytes)
    assert cost == CONTRACT[name]


def test_resnet20_has_the_paper_s_trainable_parameters() -> None:
    assert plan_network(load(conf_dir() / "model" / "resnet20.yaml"), (3, 32, 32), 10).trainable_params == 269_722


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_plan_of_a_shipped_model_is_what_its_modules_do(path: Path) -> None:
    assert_plan_matches_modules(plan_network(load(path), (3, 32, 32), 10))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_first_two_lines_of_a_shipped_model_describe_it_and_its_cost(path: Path) -> None:
    what, cost = path.read_text().splitlines()[:2]
    planned = plan_network(load(path), (3, 32, 32), 10)
    assert what.startswith("# ")
    assert cost == f"# {cost_line(costs_of(planned))}."


@settings(max_examples=60, deadline=None)
@given(models(), st.sampled_from([(3, 32, 32), (12, 17, 9), (24, 8, 8)]), st.integers(2, 12))
def test_the_plan_of_any_network_is_what_its_modules_do(
    model: dict[str, Any], shape: tuple[int, int, int], classes: int
) -> None:
    try:
        planned = plan(model, shape, classes)
    except UserError as error:
        reject_unless(error, "kernel_sizes", "depthwise", "no stride", "pad cannot")
    else:
        assert_plan_matches_modules(planned)


@settings(max_examples=60, deadline=None)
@given(models())
def test_the_rows_of_the_table_add_up_to_the_totals(model: dict[str, Any]) -> None:
    try:
        planned = plan(model, (12, 16, 16))
    except UserError:
        return
    assert sum(row.params for row in planned.rows) == planned.params
    assert sum(row.macs for row in planned.rows) == planned.macs


@settings(max_examples=150, deadline=None)
@given(models(), st.sampled_from([(3, 32, 32), (12, 17, 9), (24, 8, 8)]))
def test_the_peak_of_any_network_is_that_of_a_liveness_count_over_its_traced_graph(
    model: dict[str, Any], shape: tuple[int, int, int]
) -> None:
    try:
        planned = plan(model, shape)
    except UserError as error:
        reject_unless(error, "kernel_sizes", "depthwise", "no stride", "pad cannot")
    else:
        assert planned.peak_activation_bytes == max(live_bytes(build_network(planned), shape))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_peak_of_a_shipped_model_is_that_of_a_liveness_count(path: Path) -> None:
    planned = plan_network(load(path), (3, 32, 32), 10)
    assert planned.peak_activation_bytes == max(live_bytes(build_network(planned), (3, 32, 32)))


def test_a_norm_before_a_convolution_copies_what_a_skip_still_needs() -> None:
    layer = {"order": ["norm", "activation", "conv", "add"], "bias": False}
    layers: dict[str, Any] = {"a": {"channels": 16}, "b": {"channels": 16, "skip": "a"}}
    assert plan({"name": "n", "layer": layer, "layers": layers}).peak_activation_bytes == 49_152
    layers["b"]["skip"] = None
    assert plan({"name": "n", "layer": layer, "layers": layers}).peak_activation_bytes == 32_768


def test_a_skip_keeps_its_source_alive_until_it_is_added() -> None:
    layers: dict[str, Any] = {name: {"channels": 8} for name in ("a", "b", "c", "d")}
    without = plan({"name": "n", "layers": layers}, (8, 4, 4)).peak_activation_bytes
    layers["d"] = {"channels": 8, "skip": "a"}
    assert without == 2 * 8 * 16
    assert plan({"name": "n", "layers": layers}, (8, 4, 4)).peak_activation_bytes == 3 * 8 * 16


def test_a_projection_s_output_is_alive_beside_the_layer_s_own() -> None:
    layers = {"a": {"channels": 4}, "b": {"channels": 8, "skip": "a"}}
    assert plan({"name": "n", "layers": layers}, (4, 4, 4)).peak_activation_bytes == (4 + 8 + 8) * 16


def test_a_pool_is_a_step_that_makes_a_smaller_map() -> None:
    layers: dict[str, Any] = {"a": {"channels": 8}, "b": {"channels": 8, "pool": "max", "order": ["conv", "pool"]}}
    pooled = plan({"name": "n", "layers": layers}, (8, 4, 4))
    assert pooled.layers[1].out_shape == (8, 2, 2)
    assert pooled.peak_activation_bytes == (8 + 8) * 16
    assert [row for row in pooled.rows if "pool" in row.name] == [
        ("b.pool", "max pool 2×2", 0, 0, (8, 2, 2)),
        ("pool", "max pool 2×2", 0, 0, (8,)),
    ]


def test_what_is_added_before_a_pool_is_not_kept_for_it() -> None:
    for order, peak in ((["conv", "pool", "add"], (8 + 8) * 16 + 8 * 4), (["conv", "add", "pool"], (8 + 8) * 16)):
        layers = {"a": {"channels": 8}, "b": {"channels": 8, "pool": "max", "order": order, "skip": "a"}}
        assert plan({"name": "n", "layers": layers}, (8, 4, 4)).peak_activation_bytes == peak


def test_a_shared_weight_is_stored_once_and_computed_twice() -> None:
    layers: dict[str, Any] = {"a": {"channels": 8}, "b": {"channels": 8}}
    twice = plan({"name": "n", "layers": layers}, (8, 4, 4))
    layers["b"] = {"channels": 8, "share": "a"}
    shared = plan({"name": "n", "layers": layers}, (8, 4, 4))
    assert twice.params - shared.params == 8 * 8 * 9 + 8
    assert shared.macs == twice.macs
    assert counted_params(build_network(shared))[0] == shared.params


def test_a_budget_that_holds_prints_nothing() -> None:
    check_budget(plan_network(load(conf_dir() / "model" / "model50k.yaml"), (3, 32, 32), 10), Budget(params=50_000))


@pytest.mark.parametrize(
    ("limit", "culprit"), [("params", "conv4"), ("macs", "conv4"), ("peak_activation_bytes", "conv1")]
)
def test_a_network_over_budget_is_an_error_that_names_its_largest_layers(limit: str, culprit: str) -> None:
    planned = plan_network(load(conf_dir() / "model" / "model3.yaml"), (3, 32, 32), 10)
    budget = Budget(**{limit: getattr(planned, limit) - 1})
    with pytest.raises(UserError, match=f"budget.{limit}") as caught:
        check_budget(planned, budget)
    assert culprit in str(caught.value)
    assert f"{getattr(planned, limit):,}" in str(caught.value)
    check_budget(planned, Budget(**{limit: getattr(planned, limit)}))

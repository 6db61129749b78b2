"""Firmware as planned: the arena never overwrites what is still read, and costs are known without training."""

import re
from typing import Any

import pytest
import yaml

from cifar_exp.config.location import conf_dir
from cifar_exp.errors import UserError
from cifar_exp.network import Budget, ModelSpec, Plan, check_budget, plan_network
from cifar_exp.network.firmware import arrange, fuse, unsupported_feature
from cifar_exp.network.firmware.arena import lead


def planned(name: str) -> Plan:
    spec = ModelSpec.model_validate(yaml.safe_load((conf_dir() / "model" / f"{name}.yaml").read_text()))
    return plan_network(spec, (3, 32, 32), 10)


@pytest.mark.parametrize("in_size", [(3, 6, 5), (4, 1, 1), (2, 7, 9)])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("before", [0, 1, 3])
@pytest.mark.parametrize("out_channels", [1, 5])
def test_the_lead_spares_every_later_read(
    in_size: tuple[int, int, int], stride: int, before: int, out_channels: int
) -> None:
    channels, in_height, in_width = in_size
    height, width = -(-in_height // stride), -(-in_width // stride)
    for pixels, reads_first in ((1, False), (2, False), (2, True)):
        given = lead(in_size, (out_channels, height, width), stride, before, pixels, reads_first)
        starts = [
            (max(0, row * stride - before) * in_width + max(0, column * stride - before)) * channels
            for row in range(height)
            for column in range(width)
        ]
        for first in range(0, len(starts), pixels):
            later = starts[first + (pixels if reads_first else 0) :]
            written = min(first + pixels, len(starts)) * out_channels
            assert not later or written - given <= min(later)


@pytest.mark.parametrize(("name", "limit"), [("model50k", 0.70), ("best50k", 0.72), ("resnet8", 0.70)])
def test_overlapping_outputs_save_a_third_of_the_peak(name: str, limit: float) -> None:
    plan = planned(name)
    assert arrange(fuse(plan), plan.input_shape).size <= limit * plan.peak_activation_bytes


def test_shared_weights_are_in_flash_once() -> None:
    plan = planned("best50k")
    assert plan.flash_bytes is not None
    assert plan.flash_bytes < plan.params + 30_000


def test_a_network_without_firmware_has_no_size_and_exceeds_every_budget_of_it() -> None:
    plan = planned("gated50k")
    assert plan.flash_bytes is None
    assert plan.sram_bytes is None
    with pytest.raises(UserError, match="layer 'stem': norm=layer"):
        check_budget(plan, Budget(flash_bytes=10**9))


@pytest.mark.parametrize(
    ("layer", "feature"),
    [
        ({"kernel_size": 5, "dilation": 128}, "padding=256"),
        ({"stride": 300}, "stride=300"),
        ({"conv_type": "depthwise", "channels": 768}, "outputs per channel=256"),
    ],
)
def test_a_number_beyond_the_fields_of_the_kernels_is_a_feature_without_firmware(
    layer: dict[str, Any], feature: str
) -> None:
    spec = ModelSpec.model_validate({"name": "large", "layers": {"one": {"channels": 3, **layer}}})
    assert f"layer 'one': {feature}" in str(unsupported_feature(plan_network(spec, (3, 32, 32), 10)))


def test_a_budget_of_flash_names_the_size() -> None:
    plan = planned("model50k")
    with pytest.raises(UserError, match=f"{plan.flash_bytes:,} bytes of flash, 60,000 allowed"):
        check_budget(plan, Budget(flash_bytes=60_000))


@pytest.mark.parametrize("name", ["model50k", "best50k", "resnet8"])
@pytest.mark.parametrize("cost", ["sram_bytes", "flash_bytes", "peak_activation_bytes"])
def test_no_layer_is_reported_with_more_memory_than_the_whole_network(name: str, cost: str) -> None:
    plan = planned(name)
    with pytest.raises(UserError) as caught:
        check_budget(plan, Budget(**{cost: 1000}))
    sizes = re.findall(r"\(([\d,]+)\)", str(caught.value).splitlines()[1])
    assert len(sizes) == 3
    assert all(int(size.replace(",", "")) <= getattr(plan, cost) for size in sizes)

"""The exported C computes exactly what the simulation does, and nearly what the float network does."""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from cifar_exp.errors import UserError
from cifar_exp.export.c.emulation import emulate
from cifar_exp.export.c.exporter import integer_operations, write_source
from cifar_exp.export.c.host import run_on_host
from cifar_exp.export.c.layout import FirmwareDir
from cifar_exp.export.c.simulate import simulate
from cifar_exp.export.c.toolchain import CPUS
from cifar_exp.inference.classifier import TrainedNetwork
from tests.export.c.drawn import images, run_sanitized, trained
from tests.export.c.tools import needs_compiler, require_arm_tools
from tests.network.strategies import models

KERNELS = Path(__file__).parents[3] / "cifar_exp" / "export" / "c" / "files" / "int8_kernels.h"
SHAPE = (3, 13, 10)
WIDE: dict[str, Any] = {
    "name": "wide",
    "layer": {"channels": 8, "norm": "batch"},
    "layers": {
        "first": {"channels": 7, "order": ["conv", "norm", "activation", "pool"], "pool": "max", "activation": "silu"},
        "mixed": {"conv_type": "mixed", "channels": 9, "skip": "first", "projection": "pad", "kernel_sizes": [1, 3, 4]},
        "again": {"conv_type": "separable", "channels": 9, "skip": "mixed", "activation": "hardswish"},
        "even": {"channels": 18, "kernel_size": 2, "stride": 2, "skip": "again", "projection": "depthwise1x1"},
        "deep": {"conv_type": "depthwise", "channels": 36, "skip": "even", "projection": "conv1x1"},
        "inverted": {"conv_type": "inverted_residual", "channels": 36, "skip": "deep", "activation": "relu6"},
        "shared1": {"channels": 12, "groups": 3, "order": ["conv", "norm", "activation", "scale", "add"]},
        "shared2": {"channels": 12, "order": ["norm", "activation", "conv", "add"], "skip": "shared1"},
        "shared3": {
            "channels": 12,
            "share": "shared2",
            "order": ["conv", "norm", "activation", "add"],
            "skip": "shared1",
        },
        "full": {"channels": 10, "skip": "shared3", "projection": "conv1x1", "order": ["conv", "add", "norm"]},
        "windows": {"order": ["conv", "norm", "activation", "pool"], "pool": "avg", "pool_size": 2},
    },
    "head": {"pool": "avg", "hidden": [11]},
}
STUDY: dict[str, Any] = {  # as the networks of the study: every convolution has a ReLU ahead of its batch norm
    "name": "study",
    "layer": {
        "conv_type": "separable",
        "order": ["conv", "activation", "norm", "add"],
        "projection": "depthwise1x1",
    },
    "layers": {
        "first": {"channels": 7, "stride": 2},
        "second": {"channels": 14, "stride": 2, "skip": "first"},
        "pixels": {"channels": 14, "conv_type": "depthwise", "kernel_size": 1, "skip": "second"},
    },
    "head": {"hidden": [9]},
}

SMALL: list[dict[str, Any]] = [  # of which flash contains more code than constants
    {"channels": 3},
    {"channels": 5, "conv_type": "separable", "activation": "silu"},
    {"channels": 3, "conv_type": "depthwise", "order": ["conv", "norm", "activation"]},
]


def compiled_as_simulated(network: TrainedNetwork, shape: tuple[int, int, int]) -> float:
    """Check that the C agrees with the simulation bit for bit; return their error relative to the float network."""
    calibration, seen = images(shape, 64), images(shape, 6, seed=1)
    integers, arena = integer_operations(network, calibration)
    pixels = seen.permute(0, 2, 3, 1).numpy()
    expected = simulate(integers, pixels)
    with TemporaryDirectory() as directory:
        firmware = FirmwareDir(Path(directory))
        shutil.copy(KERNELS, directory)
        write_source(firmware, network, integers, arena)
        np.testing.assert_array_equal(run_sanitized(firmware, pixels), expected)
    exact = network(seen)
    error = (torch.from_numpy(expected.astype(np.float64)) * integers[-1].logit_scale - exact).abs().mean()
    return (error / exact.abs().mean()).item()


@needs_compiler
@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(model=models(), seed=st.integers(0, 99))
def test_any_network_compiles_to_what_is_simulated(model: dict[str, Any], seed: int) -> None:
    for layer in model["layers"].values():
        layer["norm"] = layer["norm"] and "batch"
        layer["conv_type"] = layer["conv_type"].replace("gated", "separable")
    try:
        network = trained(model, SHAPE, seed)
    except UserError:  # the sizes of two maps have no common stride
        reject()
    compiled_as_simulated(network, SHAPE)


@needs_compiler
@pytest.mark.parametrize("model", [WIDE, STUDY], ids=["wide", "study"])
def test_every_feature_agrees_and_stays_near_the_float_network(model: dict[str, Any]) -> None:
    assert compiled_as_simulated(trained(model, SHAPE), SHAPE) < 0.2


@needs_compiler
def test_a_prefix_and_odd_names_change_identifiers_alone(tmp_path: Path) -> None:
    model = {"name": "network_a /* b */ ??/\n", "layers": {"network_1": {"channels": 2}}}
    network = trained(model, SHAPE)
    network.class_names = ("network_card", "NETWORK_X", 'a"b\\c', "??=", "größe")
    integers, arena = integer_operations(network, images(SHAPE, 8))
    firmware = FirmwareDir(tmp_path, "pets")
    shutil.copy(KERNELS, tmp_path)
    write_source(firmware, network, integers, arena)
    run_on_host(firmware, images(SHAPE, 1).permute(0, 2, 3, 1).numpy(), arena.size, len(network.class_names))
    names = r'{"network_card", "NETWORK_X", "a\042b\134c", "\077\077=", "gr\303\266\303\237e"}'
    assert f"pets_class_names[PETS_CLASSES] = {names};" in firmware.source.read_text()


def test_values_beyond_32_bits_are_an_error_that_names_the_layer() -> None:
    layer = {"channels": 4, "order": ["conv", "activation", "scale"], "layer_scale": 1e30}
    network = trained({"name": "large", "layers": {"one": layer}}, SHAPE)
    with pytest.raises(UserError, match="layer 'logits': its values"):
        integer_operations(network, images(SHAPE, 8))


@pytest.mark.parametrize("layer", SMALL, ids=list(map(str, range(len(SMALL)))))
def test_flash_and_sram_of_small_networks_are_planned_within_a_twentieth(layer: dict[str, Any], tmp_path: Path) -> None:
    require_arm_tools()
    network = trained({"name": "small", "layer": layer, "layers": {"one": {}, "two": {}}}, SHAPE)
    integers, arena = integer_operations(network, images(SHAPE, 8))
    write_source(FirmwareDir(tmp_path), network, integers, arena)
    found = emulate(tmp_path, "cortex-m4", images(SHAPE, 1).permute(0, 2, 3, 1).numpy())
    assert network.plan.flash_bytes == pytest.approx(found.flash_bytes, rel=0.05)
    assert network.plan.sram_bytes == pytest.approx(found.sram_bytes, rel=0.05)


@needs_compiler
def test_a_projection_is_added_to_groups_of_an_odd_number_of_channels() -> None:
    layers = {"one": {"channels": 6}, "two": {"channels": 9, "groups": 3, "skip": "one", "projection": "conv1x1"}}
    assert compiled_as_simulated(trained({"name": "groups", "layers": layers}, SHAPE), SHAPE) < 0.1


@needs_compiler
def test_an_activation_by_itself_keeps_the_range_of_what_it_reads() -> None:
    layers = {"pooled": {"channels": 8, "order": ["conv", "norm", "pool", "activation"], "pool": "avg"}}
    model = {"name": "lone", "layer": {"activation": "silu"}, "layers": layers, "head": {"pool": "avg"}}
    assert compiled_as_simulated(trained(model, SHAPE), SHAPE) < 0.015


@pytest.mark.parametrize("model", [WIDE, STUDY], ids=["wide", "study"])
def test_every_feature_agrees_on_every_emulated_processor(model: dict[str, Any], tmp_path: Path) -> None:
    require_arm_tools()
    seen = images(SHAPE, 3, seed=1)
    integers, arena = integer_operations(trained(model, SHAPE), images(SHAPE, 64))
    pixels = np.ascontiguousarray(seen.permute(0, 2, 3, 1).numpy())
    expected = simulate(integers, pixels)
    write_source(FirmwareDir(tmp_path), trained(model, SHAPE), integers, arena)
    for cpu in CPUS if model is WIDE else ("cortex-m4",):
        np.testing.assert_array_equal(emulate(tmp_path, cpu, pixels).logits, expected, err_msg=cpu)

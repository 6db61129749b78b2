"""The 8-bit ONNX file: the rewritten graph computes the same, shared weights are stored once, accuracy is kept."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cifar_exp.inference.classifier import Classifier, TrainedNetwork
from cifar_exp.network import ModelSpec, build_network, plan_network

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from cifar_exp.export.graph_file import Agreement, about, onnx_logits, weight_bytes, write_onnx
from cifar_exp.export.int8 import write_int8

STUDY: dict[str, Any] = {  # batch norm behind the ReLU, depthwise skips: the order of the reference study
    "name": "study",
    "layer": {
        "channels": 16,
        "conv_type": "separable",
        "order": ["conv", "activation", "norm", "add"],
        "projection": "depthwise1x1",
    },
    "layers": {"one": {"stride": 2}, "two": {"stride": 2, "skip": "one"}, "three": {"skip": "two"}},
    "head": {"pool": "max", "hidden": [16]},
}
SHARED: dict[str, Any] = {
    "name": "shared",
    "layer": {"channels": 24, "order": ["conv", "norm", "add", "activation"], "bias": False},
    "layers": {
        "one": {"stride": 2},
        "two": {"skip": "one"},
        "three": {"skip": "two", "share": "two"},
        "four": {"skip": "three", "share": "two"},
    },
    "head": {"pool": "avg"},
}


def random_network(description: dict[str, Any], norm_factors: tuple[float, float]) -> TrainedNetwork:
    """Return a network whose batch norms have factors between two bounds, with statistics of random images."""
    torch.manual_seed(0)
    plan = plan_network(ModelSpec.model_validate(description), (3, 16, 16), 10)
    classifier = Classifier(build_network(plan), torch.full((3,), 127.0), torch.full((3,), 64.0))
    for module in classifier.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(module.weight, *norm_factors)
            nn.init.uniform_(module.bias, -0.5, 0.5)
            module.momentum = None
    classifier.train()(pixels())
    return TrainedNetwork(classifier.eval(), plan, tuple(f"class{index}" for index in range(10)))


def pixels() -> Tensor:
    return torch.randint(0, 256, (192, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def exported(trained: TrainedNetwork, directory: Path) -> tuple[Path, Path]:
    paths = directory / "float.onnx", directory / "int8.onnx"
    write_onnx(paths[0], trained, about(trained, None))
    write_int8(paths[1], paths[0], pixels())
    return paths


@pytest.mark.parametrize("norm_factors", [(0.05, 3.0), (-2.0, 2.0)], ids=["positive", "of either sign"])
def test_batch_norms_behind_a_relu_keep_their_accuracy(norm_factors: tuple[float, float], tmp_path: Path) -> None:
    trained = random_network(STUDY, norm_factors)
    _, int8 = exported(trained, tmp_path)
    found = Agreement.of(trained(pixels()), onnx_logits(int8, pixels()))
    assert found.mean_difference < 0.05 * found.largest_logit


def test_shared_weights_are_stored_once(tmp_path: Path) -> None:
    trained = random_network(SHARED, (0.5, 1.5))
    _, int8 = exported(trained, tmp_path)
    found = Agreement.of(trained(pixels()), onnx_logits(int8, pixels()))
    assert found.mean_difference < 0.05 * found.largest_logit
    shared = 9 * 24 * 24
    others = 9 * 3 * 24 + 24 * 10
    assert shared + others < weight_bytes(int8) < 1.5 * shared + others

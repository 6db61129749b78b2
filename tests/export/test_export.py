"""`cifar-exp export`: files that compute what PyTorch does, with metadata."""

import json
import shutil
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn

from cifar_exp import cli
from cifar_exp.cli.commands import export
from cifar_exp.config.location import conf_dir
from cifar_exp.export import graph_file
from cifar_exp.export.graph_file import about, onnx_logits, torch_logits, weight_bytes, write_onnx
from cifar_exp.inference.classifier import Classifier, TrainedNetwork, load_trained
from cifar_exp.network import ModelSpec, build_network, plan_network
from tests.conftest import Run

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


WIDE_LANGUAGE = {  # what the shipped networks may not use
    "name": "wide",
    "layer": {"channels": 8},
    "layers": {
        "plain": {"order": ["conv", "norm", "activation", "pool"], "pool": "max"},
        "mixed": {"conv_type": "mixed", "channels": 12, "skip": "plain", "projection": "pad"},
        "gated": {"conv_type": "gated", "channels": 12, "skip": "mixed", "norm": "layer"},
        "even": {
            "channels": 24,
            "kernel_size": 2,
            "stride": 2,
            "activation": "gelu",
            "skip": "gated",
            "projection": "depthwise1x1",
        },
        "windows": {"order": ["conv", "norm", "activation", "pool"], "pool": "avg", "pool_size": 3},
    },
    "head": {"pool": "avg", "hidden": [16]},
}


def shipped_of_every_kind() -> dict[str, dict[str, Any]]:
    """Some of the shipped networks, by their names, that together use each value of each layer field."""
    files = {path.stem: yaml.safe_load(path.read_text()) for path in sorted((conf_dir() / "model").glob("*.yaml"))}
    kinds = {name: kinds_of(ModelSpec.model_validate(file)) for name, file in files.items()}
    missing, chosen = set().union(*kinds.values()), {}
    while missing:
        name = max(kinds, key=lambda one: len(kinds[one] & missing))
        missing -= kinds[name]
        chosen[name] = files[name]
    return chosen


def kinds_of(spec: ModelSpec) -> set[tuple[str, str]]:
    fields = (layer.model_dump(exclude={"channels", "skip", "share"}) for layer in spec.layers.values())
    links = {("share", "") for layer in spec.layers.values() if layer.share}
    return links | {(field, str(value)) for layer in fields for field, value in layer.items()}


SHIPPED = shipped_of_every_kind()


@pytest.fixture
def run(trained_run: Path, tmp_path: Path) -> Path:
    """A copy that may be written into."""
    return Path(shutil.copytree(trained_run, tmp_path / "copy"))


@pytest.fixture(scope="module")
def pixels() -> Tensor:
    return torch.randint(0, 256, (7, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def expected(run: Path, pixels: Tensor) -> Tensor:
    with torch.inference_mode():
        return torch.as_tensor(load_trained(run / "checkpoints" / "best.ckpt").classifier(pixels))


@dataclass
class Exported:
    """A run whose network was exported, and what the command printed."""

    run: Path
    printed: str


@pytest.fixture(scope="module")
def exported(trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The run with `model.onnx` and `model.int8.onnx` in it; tests only read it."""
    run = Path(shutil.copytree(trained_run, tmp_path_factory.mktemp("exported") / "run"))
    with redirect_stdout(StringIO()) as printed:
        assert cli.run(["export", f"run={run}", "int8=true"]) == 0
    return Exported(run, printed.getvalue())


def test_onnx_takes_raw_pixels_in_batches_of_any_size(exported: Exported, pixels: Tensor) -> None:
    session = onnxruntime.InferenceSession(exported.run / "model.onnx")
    assert [(one.name, one.type) for one in session.get_inputs()] == [("images", "tensor(uint8)")]
    for count in (1, 2, 7):
        (logits,) = session.run(None, {"images": pixels[:count].numpy()})
        wanted = expected(exported.run, pixels[:count])
        torch.testing.assert_close(torch.from_numpy(logits), wanted, atol=1e-4, rtol=1e-4)


def test_the_file_describes_itself_and_nothing_of_this_machine(exported: Exported) -> None:
    run, file = exported.run, exported.run / "model.onnx"
    facts = {entry.key: entry.value for entry in onnx.load(file).metadata_props}
    result = json.loads((run / "result.json").read_text())
    assert json.loads(facts["class_names"]) == ["class0", "class1", "class2", "class3"]
    assert (facts["params"], facts["macs"]) == (str(result["params"]), str(result["macs"]))
    assert facts["training_data"] == "synthetic"
    assert "raw pixels 0–255" in facts["input"]
    assert len(json.loads(facts["mean"])) == len(json.loads(facts["std"])) == 3
    for path in (b"site-packages", str(Path(__file__).parents[2]).encode(), str(run).encode()):
        assert path not in file.read_bytes()


def test_int8_is_smaller_and_its_accuracy_stands_beside_the_float_one(exported: Exported) -> None:
    run, printed = exported.run, exported.printed
    accuracies = next(line for line in printed.splitlines() if "test accuracy" in line).split()[-2:]
    assert accuracies[0] == f"{json.loads((run / 'result.json').read_text())['test/acc']:.2%}"
    assert 0 <= float(accuracies[1].rstrip("%")) <= 100
    weights = [weight_bytes(run / name) for name in ("model.onnx", "model.int8.onnx")]
    assert weights[1] < weights[0]
    assert f"{weights[1]:,}" in printed
    assert f"{(run / 'model.int8.onnx').stat().st_size:,}" in printed


def test_torch_export_computes_the_same(cifar_exp: Run, run: Path, pixels: Tensor) -> None:
    assert cifar_exp("export", f"run={run}", "format=torch") == 0
    torch.testing.assert_close(torch_logits(run / "model.pt2", pixels), expected(run, pixels))
    assert cifar_exp("export", f"run={run}", "format=torch", "int8=true") == 2


def test_the_check_is_printed(exported: Exported) -> None:
    assert "60 test images of synthetic" in exported.printed
    assert "100.00%" in exported.printed


def test_a_file_that_computes_something_else_is_not_kept(
    cifar_exp: Run, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write, logits_of = export.FORMATS["torch"]
    monkeypatch.setitem(export.FORMATS, "torch", (write, lambda path, images: logits_of(path, images) + 1))
    assert cifar_exp("export", f"run={run}", "format=torch", f"output={tmp_path / 'out' / 'kept.pt2'}") == 1
    assert "kept.pt2 is not kept: its logits differ from PyTorch's by up to 1 " in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())


def test_weights_alone_are_exported_beside_themselves_or_where_one_says(
    cifar_exp: Run, trained_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = shutil.copy(trained_run / "checkpoints" / "best.ckpt", tmp_path / "shipped.ckpt")
    for output, file in (((), "shipped.pt2"), (("output=sub/net.pt2",), "sub/net.pt2")):
        assert cifar_exp("export", f"run={weights}", "format=torch", *output) == 0
        assert (tmp_path / file).is_file()
        assert "random pixels" in capsys.readouterr().out
    assert cifar_exp("export", f"run={weights}", "int8=true") == 2
    assert "data=" in capsys.readouterr().err


def test_other_classes_than_those_of_the_training_are_an_error(
    cifar_exp: Run, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cifar_exp("export", f"run={run}", "data=synthetic") == 2
    assert "10 classes" in capsys.readouterr().err
    assert not (run / "model.onnx").exists()


def test_missing_packages_are_reported_with_the_command_that_installs_them(
    cifar_exp: Run, run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph_file, "find_spec", lambda name: None if name == "onnxscript" else object())
    assert cifar_exp("export", f"run={run}") == 2
    assert 'pip install "cifar-exp[export]"' in capsys.readouterr().err


@pytest.mark.parametrize("model", [*SHIPPED.values(), WIDE_LANGUAGE], ids=[*SHIPPED, "wide language"])
def test_every_kind_of_layer_is_exported(model: dict[str, Any], tmp_path: Path, pixels: Tensor) -> None:
    plan = plan_network(ModelSpec.model_validate(model), (3, 32, 32), 10)
    torch.manual_seed(0)
    network = build_network(plan)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):  # unlike the identity of a new one
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2)
    classifier = Classifier(network, torch.tensor([125.0, 122, 113]), torch.tensor([63.0, 62, 66])).eval()
    trained = TrainedNetwork(classifier, plan, [f"class{number}" for number in range(10)])
    write_onnx(tmp_path / "model.onnx", trained, about(trained, None))
    given = onnx_logits(tmp_path / "model.onnx", pixels)
    with torch.inference_mode():
        expected = classifier(pixels)
    assert expected.std() > 0
    torch.testing.assert_close(given, expected, atol=2e-3 * expected.abs().max().item(), rtol=1e-3)

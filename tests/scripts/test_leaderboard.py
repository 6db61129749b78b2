"""The leaderboard is written from results, and contains no path of a machine."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir

from cifar_exp.config.location import conf_dir
from cifar_exp.config.parse import plain
from cifar_exp.errors import UserError
from cifar_exp.inference.classifier import load_trained
from cifar_exp.runs.directory import RunDir
from tests.conftest import Run
from tests.training.tiny import TINY, result

SCRIPT = Path(__file__).parents[2] / "scripts" / "leaderboard.py"


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("leaderboard", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "RESULTS", tmp_path / "results")
    return module


def test_a_finished_run_becomes_a_row(
    cifar_exp: Run, tmp_path: Path, script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    arguments = ["train", *TINY, "trainer.max_epochs=1", "model.layer.dropout=0.1", f"hydra.run.dir={run}"]
    monkeypatch.setattr(sys, "argv", ["cifar-exp", *arguments])  # as result.json records it
    cifar_exp(*arguments)
    assert script.main(["add", str(run)]) == 0
    kept = json.loads((tmp_path / "results" / "runs" / "run.json").read_text())
    assert str(tmp_path) not in json.dumps(kept)
    page = (tmp_path / "results" / "leaderboard.md").read_text()
    row = page.splitlines()[-1]
    assert f"{result(run)['params']:,}" in row
    assert f"{result(run)['test/acc']:.2%}" in row
    own = [override for override in arguments[1:] if not override.startswith(script.NOT_SHOWN)]
    assert f"`cifar-exp train {' '.join(own)}`" in row  # of no recipe


def test_kept_weights_predict_as_those_of_the_run(trained_run: Path, script: ModuleType) -> None:
    kept = load_trained(script.add_weights(trained_run))
    own = load_trained(trained_run / "checkpoints" / "best.ckpt")
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    assert torch.equal(kept.classifier(images), own.classifier(images))
    assert kept.class_names == own.class_names


def test_the_best_comes_first(script: ModuleType) -> None:
    page = script.leaderboard([made("low", 0.5), made("high", 0.9)])
    assert page.index("| high |") < page.index("| low |")


def test_the_seeds_of_one_command_are_one_row(script: ModuleType) -> None:
    page = script.leaderboard([made("net", 0.80, seed=1), made("net", 0.82, seed=0), made("other", 0.5)])
    assert [line for line in page.splitlines() if line.startswith("| net ")] == [
        "| net | 1 | 1 | 1 | 81.00% ± 1.41 | 0, 1 | 1 | 1 | cpu | `cifar-exp train model=net` |"
    ]


def test_the_command_of_a_run_names_the_recipe_that_gives_its_config(script: ModuleType, tmp_path: Path) -> None:
    overrides = ["experiment=model50k", "data=folder", "data.root=here", "seed=3", "logger=disabled"]
    assert command_of_run(script, tmp_path, overrides) == (
        "cifar-exp train experiment=model50k data=folder data.root=IMAGES seed=3"
    )
    assert command_of_run(script, tmp_path, ["experiment=study", "model=model1"]) == (
        "cifar-exp train experiment=study model=model1"
    )
    with pytest.raises(UserError, match="experiment=model2 has changed since this run"):
        command_of_run(script, tmp_path, ["experiment=model2", "trainer.max_epochs=3"])
    as_recipe = [
        "model=model2",
        "optimizer=muon",
        "callbacks=ema",
        *(f"{key}={value}" for key, value in recipe("model2").items()),
    ]
    assert command_of_run(script, tmp_path, as_recipe) == "cifar-exp train experiment=model2"


def test_the_order_of_overrides_does_not_separate_the_seeds_of_a_recipe(script: ModuleType, tmp_path: Path) -> None:
    overrides = ["seed=1", "compile=default", "data.root=here", "experiment=model50k", "data=folder"]
    commands = [command_of_run(script, tmp_path, order) for order in (overrides, overrides[::-1])]
    assert commands == 2 * ["cifar-exp train experiment=model50k data=folder data.root=IMAGES compile=default seed=1"]


def test_a_command_contains_no_path_of_its_teacher(script: ModuleType, tmp_path: Path) -> None:
    overrides = ["experiment=study", "model=model1", "distill.teacher=here/run", "data=synthetic"]
    assert command_of_run(script, tmp_path, overrides) == (
        "cifar-exp train experiment=study model=model1 data=synthetic distill.teacher=TEACHER"
    )


def made(model: str, accuracy: float, seed: int = 0) -> dict[str, object]:
    costs = {"params": 1, "macs": 1, "peak_activation_bytes": 1, "epochs": 1, "total_seconds": 1.0}
    command = f"cifar-exp train model={model} seed={seed}"
    return {"model": model, "test/acc": accuracy, "device": "cpu", "seed": seed, "command": command, **costs}


def recipe(name: str) -> dict[str, object]:
    """The values that a recipe sets, by their dotted keys."""
    content = yaml.safe_load((conf_dir() / "experiment" / f"{name}.yaml").read_text())
    groups = {key: value for key, value in content.items() if key != "defaults"}
    return {f"{group}.{key}": value for group, values in groups.items() for key, value in values.items()}


def command_of_run(script: ModuleType, directory: Path, overrides: list[str]) -> str:
    """The command that the script writes for a run that was started with `overrides`."""
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = plain(compose("train", overrides))
    (directory / ".hydra").mkdir(exist_ok=True)
    (directory / ".hydra" / "config.yaml").write_text(yaml.safe_dump(config))
    (directory / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(overrides))
    command: str = script.command_of(RunDir(directory))
    return command


def test_an_unfinished_run_is_rejected(tmp_path: Path, script: ModuleType) -> None:
    with pytest.raises(UserError, match="not a finished run"):
        script.add(tmp_path)


def test_the_committed_page_is_what_the_script_writes(script: ModuleType) -> None:
    results = SCRIPT.parents[1] / "results"
    kept = [json.loads(path.read_text()) for path in sorted((results / "runs").glob("*.json"))]
    assert (results / "leaderboard.md").read_text() == script.leaderboard(kept)

"""The leaderboard is written from results, and shows no path of the machine."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest
import torch

from cifar_exp.errors import UserError
from cifar_exp.training.classifier import load_trained
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


def test_a_finished_run_becomes_a_row(cifar_exp: Run, tmp_path: Path, script: ModuleType) -> None:
    run = tmp_path / "run"
    cifar_exp("train", *TINY, "trainer.max_epochs=1", "model.layer.dropout=0.1", f"hydra.run.dir={run}")
    assert script.main(["add", str(run)]) == 0
    kept = json.loads((tmp_path / "results" / "runs" / "run.json").read_text())
    assert str(tmp_path) not in json.dumps(kept)
    page = (tmp_path / "results" / "leaderboard.md").read_text()
    row = page.splitlines()[-1]
    assert f"{result(run)['params']:,}" in row
    assert f"{result(run)['test/acc']:.2%}" in row
    assert "cifar-exp train data=synthetic" in row
    assert "model.layer.dropout=0.1" in row


def test_kept_weights_answer_as_the_run_s_own(trained_run: Path, script: ModuleType) -> None:
    kept = load_trained(script.add_weights(trained_run))
    own = load_trained(trained_run / "checkpoints" / "best.ckpt")
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    assert torch.equal(kept.classifier(images), own.classifier(images))
    assert kept.class_names == own.class_names


def test_the_best_comes_first(script: ModuleType) -> None:
    costs = {"params": 1, "macs": 1, "peak_activation_bytes": 1, "epochs": 1, "total_seconds": 1.0}
    rows = [{"model": name, "test/acc": accuracy, "device": "cpu", "command": "c", **costs} for name, accuracy in
            (("low", 0.5), ("high", 0.9))]  # fmt: skip
    page = script.leaderboard(rows)
    assert page.index("| high |") < page.index("| low |")


def test_an_unfinished_run_is_refused(tmp_path: Path, script: ModuleType) -> None:
    with pytest.raises(UserError, match="not a finished run"):
        script.add(tmp_path)


def test_the_committed_page_is_what_the_script_writes(script: ModuleType) -> None:
    results = SCRIPT.parents[1] / "results"
    kept = [json.loads(path.read_text()) for path in sorted((results / "runs").glob("*.json"))]
    assert (results / "leaderboard.md").read_text() == script.leaderboard(kept)

"""Runs as wandb keeps them, read back with wandb's own reader."""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Run
from tests.training.tiny import TINY, metrics

OFFLINE = [one for one in TINY if not one.startswith("logger.")]


def leet(run: Path, *flags: str) -> str:
    """What `wandb leet inspect` prints of a run's wandb directory."""
    (directory,) = (run / "wandb").glob("offline-run-*")
    command = [sys.executable, "-m", "wandb", "leet", "inspect", *flags, "--json", str(directory)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@cache
def summary(run: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(leet(run, "--summary"))
    return document


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a `-m` of two runs."""
    from cifar_exp.cli import run

    directory = tmp_path_factory.mktemp("tracked") / "two-seeds"
    overrides = ("seed=0,1", "tags=[mine]", "trainer.max_epochs=2", f"hydra.sweep.dir={directory}")
    assert run(["train", "-m", *OFFLINE, *overrides]) == 0
    return directory


def test_the_best_validation_accuracy_is_a_plain_number(seeds: Path) -> None:
    best = max(float(row["val/acc"]) for row in metrics(seeds / "0"))
    assert summary(seeds / "0")["summary"]["best/val/acc"] == pytest.approx(best)


def test_the_summary_has_the_costs_and_the_test(seeds: Path) -> None:
    found = summary(seeds / "0")["summary"]
    result = json.loads((seeds / "0" / "result.json").read_text())
    for key in ("params", "macs", "peak_activation_bytes", "test/acc", "test/loss", "val/acc"):
        assert found[key] == pytest.approx(result[key])
    assert 0 <= found["test/ece"] <= 1
    for key in ("lr", "images_per_second", "seconds"):
        assert found[key] > 0


def test_layers_errors_classes_and_confusion_are_kept_as_media(seeds: Path) -> None:
    found = summary(seeds / "0")["summary"]
    kinds = {"layers": "table-file", "test/most_wrong": "image-file"}
    kinds |= {"test/class_acc_table": "table-file", "test/confusion_table": "table-file"}
    for key, kind in kinds.items():
        assert found[key]["_type"] == kind
        assert list((seeds / "0").glob(f"wandb/offline-run-*/files/{found[key]['path']}"))


def test_jobs_of_a_multirun_share_a_group_named_after_its_directory(seeds: Path) -> None:
    for job in ("0", "1"):
        assert '"two-seeds"' in leet(seeds / job)


def test_tags_are_the_user_s_then_model_and_data(seeds: Path) -> None:
    assert summary(seeds / "1")["tags"] == ["mine", "model2", "synthetic"]


def test_a_finished_run_is_reported(seeds: Path) -> None:
    found = summary(seeds / "1")
    assert (found["state"], found["exit_code"]) == ("finished", 0)


def test_a_failed_run_is_reported_with_its_reason(cifar_exp: Run, tmp_path: Path) -> None:
    run = tmp_path / "failed"
    wild = ("optimizer=sgd", "optimizer.lr=1e30", "trainer.max_epochs=2", f"hydra.run.dir={run}")
    assert cifar_exp("train", *OFFLINE, *wild) != 0
    found = summary(run)
    assert (found["state"], found["exit_code"]) == ("failed", 1)
    assert found["summary"]["status"] == "failed"
    assert "not finite" in found["summary"]["reason"]


def test_nothing_is_written_when_disabled(trained_run: Path) -> None:
    assert not (trained_run / "wandb").exists()


def test_online_without_a_key_is_one_clear_message(
    cifar_exp: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    assert cifar_exp("train", *OFFLINE, "logger=online", f"hydra.run.dir={tmp_path / 'run'}") == 2
    assert capsys.readouterr().err.startswith("logger.mode=online: No API key")
    assert not (tmp_path / "run").exists()

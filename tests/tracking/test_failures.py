"""Whatever the tracker does, it does not cost a training."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import wandb

import cifar_exp as ce
from cifar_exp.inference.evaluation import Evaluation
from cifar_exp.tracking.tracker import BestEffort, Tracker
from cifar_exp.tracking.wandb_run import Labels, start_tracker
from tests.conftest import Run
from tests.training.tiny import TINY

TRACKED = [one for one in TINY if not one.startswith("logger.")]


class Unreachable(Tracker):
    """Fails at everything, and counts the attempts."""

    def __init__(self) -> None:
        self.attempts: list[str] = []

    def log_epoch(self, row: Mapping[str, float]) -> None:
        self._fail("epoch")

    def log_test(self, test: Evaluation, images: Any) -> None:
        self._fail("test")

    def finish(self, exit_code: int) -> None:
        self._fail("finish")

    def _fail(self, name: str) -> None:
        self.attempts.append(name)
        raise ConnectionError("no route to host\nwith details")


def test_the_first_error_of_a_tracker_is_one_warning_and_the_last(caplog: pytest.LogCaptureFixture) -> None:
    tracker = Unreachable()
    guarded = BestEffort(tracker)
    guarded.log_epoch({"epoch": 0})
    guarded.log_epoch({"epoch": 1})
    guarded.finish(0)
    assert tracker.attempts == ["epoch", "finish"]
    assert caplog.messages == ["the run is no longer tracked: no route to host"]


def start(directory: Path, mode: str, labels: Labels) -> Tracker:
    config = ce.compose([*TRACKED, f"logger.mode={mode}"])
    return start_tracker(config, ce.plan(config), directory, labels)


def test_a_server_that_cannot_be_reached_leaves_an_offline_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    for name, value in {"API_KEY": "0" * 40, "BASE_URL": "http://127.0.0.1:9", "INIT_TIMEOUT": "2"}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    tracker = start(tmp_path, "online", Labels(None, ()))
    tracker.finish(0)
    assert "the run is kept offline" in caplog.text
    assert list((tmp_path / "wandb").glob("offline-run-*"))
    assert tracker.starts_empty


def test_one_run_id_of_the_environment_is_not_given_to_several_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_RUN_ID", "mine")
    wandb.teardown()  # which reads its environment once per process
    many, one = Labels("many", (), is_one_of_many=True), Labels(None, ())
    trackers = [start(tmp_path / str(number), "offline", labels) for number, labels in enumerate((many, many, one))]
    for tracker in trackers:
        tracker.finish(0)
    ids = [tracker.id for tracker in trackers]
    assert len(set(ids)) == 3
    assert ids[2] == "mine"


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a directory that nobody can write to")
def test_without_a_writable_home_a_run_is_trained_and_tracked(tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-m", "cifar_exp", "train", *TRACKED, "trainer.max_epochs=1", f"hydra.run.dir={run}"]
    kept = {key: value for key, value in os.environ.items() if key not in ("WANDB_MODE", "WANDB_DATA_DIR")}
    homeless = {**kept, "HOME": "/proc/none", "XDG_CACHE_HOME": ""}
    done = subprocess.run(command, env=homeless, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    result = json.loads((run / "result.json").read_text())
    assert Path(result["wandb_dir"]).is_dir()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a directory that nobody can write to")
def test_a_cache_that_cannot_be_written_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/none")
    tracker = start(tmp_path, "offline", Labels(None, ()))
    assert os.environ["WANDB_CACHE_DIR"].startswith(str(tmp_path))
    tracker.finish(0)
    assert "WANDB_CACHE_DIR" not in os.environ


@pytest.mark.parametrize(
    "override", [f"tags=[{'t' * 65}]", f"name={'n' * 129}", f"logger.group={'g' * 129}", "logger.project=a/b"]
)
def test_what_wandb_would_reject_is_a_user_error_before_anything_is_written(
    cifar_exp: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], override: str
) -> None:
    assert cifar_exp("train", *TRACKED, override, f"hydra.run.dir={tmp_path / 'run'}") == 2
    assert override.partition("=")[0] in capsys.readouterr().err
    assert not (tmp_path / "run").exists()

"""Interrupted runs are continued, bit for bit."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from PIL import Image

from cifar_exp.cli import main
from cifar_exp.training.checkpoints import MovableCheckpoint, PlainCheckpointIO
from cifar_exp.training.module import ImageClassifier
from tests.conftest import Run
from tests.training.tiny import TINY, figures, metrics, result

VARIED = ("callbacks.ema.decay=0.9", "augment.mixup=0.2", "model.layer.dropout=0.2", "trainer.max_epochs=4")


def kill_after(epochs: int, run: Path, *overrides: str) -> None:
    """Start a training in a process of its own and kill it once `epochs` epochs are in `metrics.csv`."""
    command = [sys.executable, "-m", "cifar_exp", "train", *TINY, *overrides, f"hydra.run.dir={run}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    metrics = run / "metrics.csv"
    deadline = time.monotonic() + 120
    while not metrics.is_file() or len(metrics.read_text().splitlines()) <= epochs:
        assert process.poll() is None, "the training ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.kill()
    process.wait()


def train_with_copy(cifar_exp: Run, whole: Path, copy: Path, *overrides: str, epochs: int = 2) -> None:
    """Trains `whole`; `copy` gets what its directory contained after so many epochs, as a kill would leave it."""
    save = PlainCheckpointIO.save_checkpoint

    def saving(self: PlainCheckpointIO, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        save(self, checkpoint, path, storage_options)
        if Path(path).name == "last.ckpt" and checkpoint["epoch"] == epochs - 1:
            shutil.copytree(whole, copy)

    with patch.object(PlainCheckpointIO, "save_checkpoint", saving):
        assert cifar_exp("train", *TINY, *overrides, f"hydra.run.dir={whole}") == 0


@pytest.mark.parametrize(("optimizer", "scheduler"), [("adamw", "onecycle"), ("muon", "onecycle"), ("sgd", "cosine")])
def test_a_killed_run_ends_as_if_it_had_not_been(
    optimizer: str, scheduler: str, cifar_exp: Run, tmp_path: Path
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    overrides = (*VARIED, f"optimizer={optimizer}", f"scheduler={scheduler}", "trainer.gradient_clip_val=0.1")
    if optimizer == "adamw":
        cifar_exp("train", *TINY, *overrides, f"hydra.run.dir={whole}")
        kill_after(2, killed, *overrides)
    else:
        train_with_copy(cifar_exp, whole, killed, *overrides)
    assert not (killed / "result.json").exists()
    first = metrics(killed)[0]
    assert cifar_exp("train", f"resume={killed}") == 0
    assert metrics(killed)[0] == first  # its seconds too: it was not trained again
    assert figures(killed) == figures(whole)
    for key in ("train/acc", "val/acc", "test/acc", "test/loss", "epochs"):
        assert result(killed)[key] == result(whole)[key]
    for name in ("best", "last"):
        mine, theirs = (
            torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"] for run in (killed, whole)
        )
        assert all(torch.equal(mine[key], theirs[key]) for key in theirs)


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_run_that_is_interrupted_reports_how_to_continue(
    by: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """SIGTERM is how a scheduler ends a run, SIGUSR1 how Slurm announces that a job's time is up."""
    run = tmp_path / "run"

    def interrupted(module: ImageClassifier) -> None:
        if module.current_epoch == 1:
            os.kill(os.getpid(), by)

    for name, value in {"SLURM_NTASKS": "1", "SLURM_JOB_NAME": "train", "SLURM_JOB_ID": "7"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(ImageClassifier, "on_validation_epoch_start", interrupted)
    monkeypatch.setattr(sys, "argv", ["cifar-exp", "train", *TINY, f"hydra.run.dir={run}"])
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(SystemExit) as ended:
            main()
    finally:
        signal.signal(signal.SIGINT, handler)  # Lightning ignores it from the first on
    assert ended.value.code == 130
    message = capsys.readouterr().err
    assert f"Interrupted. Continue it with: cifar-exp train resume={run}" in message
    assert "Traceback" not in message
    assert result(run)["status"] == "interrupted"
    assert {path.suffix for path in run.iterdir() if "ckpt" in path.name} == set()  # none of Lightning's own


def test_the_best_epoch_is_remembered_where_a_run_has_been_moved(tmp_path: Path) -> None:
    kept = {}
    for name in ("old", "new"):
        checkpoint = MovableCheckpoint(tmp_path / name, "best", monitor="val/acc", mode="max")
        checkpoint.dirpath = str(tmp_path / name)
        if name == "old":
            checkpoint.best_model_path = str(tmp_path / "old" / "best.ckpt")
            checkpoint.best_model_score = torch.tensor(0.9)
            checkpoint.best_k_models = {checkpoint.best_model_path: checkpoint.best_model_score}
            kept = checkpoint.state_dict()
    checkpoint.load_state_dict(kept)
    assert checkpoint.best_model_score == 0.9
    assert list(checkpoint.best_k_models) == [checkpoint.best_model_path] == [str(tmp_path / "new" / "best.ckpt")]


def unfinished(finished: Path, copy: Path) -> Path:
    """Return a copy of a run's directory without its result."""
    shutil.copytree(finished, copy)
    (copy / "result.json").unlink()
    return copy


def test_a_run_killed_before_its_first_checkpoint_starts_again(
    trained_run: Path, cifar_exp: Run, tmp_path: Path
) -> None:
    killed = unfinished(trained_run, tmp_path / "killed")
    shutil.rmtree(killed / "checkpoints")
    assert cifar_exp("train", f"resume={killed}") == 0
    assert figures(killed) == figures(trained_run)


def test_resuming_a_finished_run_reports_it_and_changes_nothing(
    trained_run: Path, cifar_exp: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(trained_run, tmp_path / "run")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert cifar_exp("train", f"resume={run}") == 0
    assert "finished already" in "".join(capsys.readouterr())
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_early_stopping_stops_a_run_which_then_does_not_continue(cifar_exp: Run, tmp_path: Path) -> None:
    run = tmp_path / "run"
    stopping = (
        "callbacks=early_stopping",
        "callbacks.early_stopping.patience=1",
        "callbacks.early_stopping.min_delta=9.0",
    )
    cifar_exp("train", *TINY, *stopping, "trainer.max_epochs=9", f"hydra.run.dir={run}")
    assert result(run)["epochs"] == 2
    (run / "result.json").unlink()
    assert cifar_exp("train", f"resume={run}") == 0
    assert result(run)["epochs"] == 2


def test_a_damaged_checkpoint_is_one_clear_message(
    trained_run: Path, cifar_exp: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = unfinished(trained_run, tmp_path / "run")
    (run / "checkpoints" / "last.ckpt").write_bytes(b"PK\x03\x04 nonsense")
    assert cifar_exp("train", f"resume={run}") == 2
    message = capsys.readouterr().err
    assert "last.ckpt" in message
    assert len(message.splitlines()) <= 12
    assert (run / "checkpoints" / "best.ckpt").is_file()


SEEDS = ("train", "-m", *TINY, "trainer.max_epochs=1", "seed=0,1", "hydra.sweep.dir=seeds")


def test_auto_skips_what_is_finished_and_starts_the_rest(
    cifar_exp: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cifar_exp(*SEEDS, "resume=auto") == 0
    finished, lost = tmp_path / "seeds" / "0", tmp_path / "seeds" / "1"
    before, whole = (finished / "result.json").read_bytes(), result(lost)
    shutil.rmtree(lost)
    capsys.readouterr()
    assert cifar_exp(*SEEDS, "resume=auto") == 0
    assert f"{finished} has finished already" in capsys.readouterr().out
    assert (finished / "result.json").read_bytes() == before
    assert result(lost)["test/loss"] == whole["test/loss"]
    assert cifar_exp(*SEEDS) == 2  # without `resume`
    assert "already contains a run" in capsys.readouterr().err
    assert cifar_exp(*SEEDS, "resume=auto", "optimizer.lr=0.02") == 2
    message = capsys.readouterr().err
    assert "seeds/0: contains a run of another config" in message
    assert "optimizer.lr: the run has" in message


def test_auto_continues_a_killed_run_and_starts_one_that_is_not_there(cifar_exp: Run, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    train_with_copy(cifar_exp, whole, killed, *VARIED, "resume=auto")
    first = metrics(killed)[0]
    assert cifar_exp("train", *TINY, *VARIED, f"hydra.run.dir={killed}", "resume=auto") == 0
    assert metrics(killed)[0] == first
    assert figures(killed) == figures(whole)


def test_images_that_have_moved_are_given_anew_and_others_are_rejected(
    cifar_exp: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def folder(name: str, colour: int) -> Path:
        for split in ("train", "test"):
            for label in ("cat", "dog"):
                (tmp_path / name / split / label).mkdir(parents=True)
                for number in range(8):
                    picture = Image.new("RGB", (32, 32), (colour, 20 * number, 200 * (label == "dog")))
                    picture.save(tmp_path / name / split / label / f"{number}.png")
        return tmp_path / name

    folder("images", 0), folder("others", 90)
    model = [one for one in TINY if not one.startswith("data")]
    data = ("data=folder", "data.root=images", "data.batch_size=4", "data.val_fraction=0.25")
    assert cifar_exp("train", *model, *data, "trainer.max_epochs=1", "hydra.run.dir=run") == 0
    (tmp_path / "run" / "result.json").unlink()
    (tmp_path / "images").rename(tmp_path / "moved")
    assert cifar_exp("train", "resume=run", "data.root=others") == 2
    assert "the images are not those of the run" in capsys.readouterr().err
    assert cifar_exp("train", "resume=run", "data.root=moved") == 0
    assert result(tmp_path / "run")["status"] == "finished"

"""What a run survives, and how it fails where it cannot: in one message, with its last checkpoint whole."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock

import cifar_exp as ce
from cifar_exp.cli import main
from cifar_exp.inference.classifier import Classifier
from cifar_exp.runs.directory import RunDir
from cifar_exp.training.module import ImageClassifier
from tests.conftest import Run as Command
from tests.training.tiny import TINY, result, tiny_config


def test_a_reader_that_leaves_does_not_end_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "run"
    reader, writer = os.pipe()
    os.close(reader)
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(sys, stream, os.fdopen(os.dup(writer), "w", buffering=1))
    os.close(writer)
    show_progress = "trainer.enable_progress_bar=true"
    monkeypatch.setattr(sys, "argv", ["cifar-exp", "train", *TINY, show_progress, f"hydra.run.dir={run}"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert result(run)["status"] == "finished"


def test_a_terminal_that_is_closed_does_not_end_the_run(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGHUP)
    with pytest.MonkeyPatch.context() as patch:
        original = ImageClassifier.on_validation_epoch_start

        def hung_up(module: ImageClassifier) -> None:
            os.kill(os.getpid(), signal.SIGHUP)
            original(module)

        patch.setattr(ImageClassifier, "on_validation_epoch_start", hung_up)
        assert ce.train(tiny_config("trainer.max_epochs=1"), tmp_path / "run").result.status == "finished"
    assert signal.getsignal(signal.SIGHUP) is before


@pytest.mark.parametrize("stage", ["validation", "test"])
def test_a_loss_that_is_not_finite_fails_the_run(stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Classifier.forward

    def diverged(module: Classifier, pixels: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = original(module, pixels)
        return logits if module.training else logits * torch.nan

    if stage == "validation":
        monkeypatch.setattr(Classifier, "forward", diverged)
    else:
        monkeypatch.setattr("cifar_exp.inference.evaluation.Evaluation.loss", float("nan"))
    run = tmp_path / "run"
    with pytest.raises(ce.RunFailedError, match=f"the {stage} loss .*is not finite; try a lower optimizer.lr"):
        ce.train(tiny_config("trainer.max_epochs=2", "callbacks.early_stopping.patience=1"), run)
    assert result(run)["status"] == "failed"
    assert f"{stage} loss" in result(run)["reason"]
    assert not any("NaN" in file.read_text() for file in run.glob("*.json"))


def test_a_name_that_cannot_be_drawn_costs_the_figure_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ValueError("Expected end of text, found '$'")

    monkeypatch.setattr("cifar_exp.training.fit.plot_curves", broken)
    assert ce.train(tiny_config("trainer.max_epochs=1"), tmp_path / "run").result.test_acc is not None
    assert "curves.png was not drawn: ValueError: Expected end of text" in caplog.text


def test_a_full_disk_is_reported_and_the_run_can_be_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, config = tmp_path / "run", tiny_config("trainer.max_epochs=3", "callbacks.ema.decay=0.5")
    whole = ce.train(config, tmp_path / "whole")
    write, room = Path.write_bytes, 900_000

    def write_while_there_is_room(path: Path, content: Any) -> int:
        used = sum(file.stat().st_size for file in run.rglob("*") if file.is_file())
        if path.is_relative_to(run) and used + len(content) > room:
            write(path, bytes(content)[: max(room - used, 0)])
            raise OSError(28, "No space left on device")
        return write(path, content)

    size = sum(file.stat().st_size for file in (tmp_path / "whole" / "checkpoints").glob("*"))
    room = size + size // 3  # for two checkpoints, not for a third beside them
    monkeypatch.setattr(Path, "write_bytes", write_while_there_is_room)
    with pytest.raises(ce.RunFailedError, match=r"\.ckpt cannot be written \(No space left on device\)"):
        ce.train(config, run)
    monkeypatch.undo()
    assert result(run)["status"] == "failed"
    assert torch.load(RunDir(run).last, weights_only=True)["epoch"] >= 0
    resumed = ce.train(config, run, resume=True)
    assert (resumed.result.val_acc, resumed.result.test_loss) == (whole.result.val_acc, whole.result.test_loss)


def test_one_device_ignores_the_variables_of_a_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"SLURM_NTASKS": "4", "SLURM_JOB_NAME": "train", "SLURM_JOB_ID": "7"}.items():
        monkeypatch.setenv(name, value)
    run = ce.train(tiny_config("trainer.max_epochs=1"), tmp_path / "run")
    assert run.result.status == "finished"


def test_a_task_of_a_cluster_s_job_is_a_run_of_its_own(
    cifar_exp: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"SLURM_NTASKS": "4", "SLURM_PROCID": "3", "SLURM_LOCALID": "3", "RANK": "3"}.items():
        monkeypatch.setenv(name, value)
    train = ("train", *TINY, "trainer.max_epochs=1", "trainer.devices=1", f"hydra.run.dir={tmp_path / 'run'}")
    assert cifar_exp(*train) == 0
    assert result(tmp_path / "run")["status"] == "finished"
    assert {"config.yaml", "overrides.yaml"} <= {file.name for file in (tmp_path / "run" / ".hydra").iterdir()}
    assert "test accuracy" in capsys.readouterr().out
    assert cifar_exp(*train) == 2


def test_a_directory_in_use_is_a_user_error(tmp_path: Path) -> None:
    files = RunDir(tmp_path / "run")
    files.lock.parent.mkdir(parents=True)
    with FileLock(files.lock), pytest.raises(ce.UserError, match="in use by another process"):
        ce.train(tiny_config(), files.path)
    assert [path.name for path in files.path.iterdir()] == [".hydra"]


def test_other_images_cannot_continue_a_run(tmp_path: Path) -> None:
    run = ce.train(tiny_config("trainer.max_epochs=1"), tmp_path / "run")
    RunDir(run.directory).result.unlink()
    checkpoint = torch.load(RunDir(run.directory).last, weights_only=True)
    checkpoint["callbacks"]["RunState"]["data_sha256"] = "0" * 64
    torch.save(checkpoint, RunDir(run.directory).last)
    assert run.config is not None
    with pytest.raises(ce.UserError, match="the images are not those of the run"):
        ce.train(run.config, run.directory, resume=True)


def test_a_finished_run_that_cannot_be_written_is_resumed_cleanly(
    trained_run: Path, cifar_exp: Command, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Read-only file system", str(path))

    run = ce.load_run(trained_run)
    assert run.config is not None
    for writer in ("write_bytes", "mkdir", "touch", "unlink"):
        monkeypatch.setattr(Path, writer, read_only)
    assert ce.train(run.config, trained_run, resume=True).result == run.result


@pytest.mark.parametrize("damage", ["{", "[]", '{"status": 3}'])
def test_a_damaged_result_is_named(damage: str, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(damage)
    with pytest.raises(ce.UserError, match=r"result\.json: damaged"):
        RunDir(tmp_path).read_result()


def test_json_never_contains_nan(tmp_path: Path) -> None:
    from cifar_exp.files import write_json

    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"loss": float("nan")})
    assert not list(tmp_path.iterdir())


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    from cifar_exp.files import write_json

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE)
    write_json(pipe, {"a": 1})
    assert json.loads(reader.communicate(timeout=30)[0]) == {"a": 1}
    assert pipe.is_fifo()


def test_two_processes_of_one_number_on_two_machines_write_to_files_of_their_own(tmp_path: Path) -> None:
    from cifar_exp.files import atomic

    with atomic(tmp_path / "a.json") as first, atomic(tmp_path / "a.json") as second:
        assert first != second
        first.write_text("1")
        second.write_text("2")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["1"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    from cifar_exp.files import write_text

    (tmp_path / "real.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to("real.txt")
    write_text(tmp_path / "link.txt", "new")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real.txt").read_text() == "new"


def test_less_than_one_batch_of_validation_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(ce.UserError, match=r"trainer.limit_val_batches=0.5: less than one of the 1 batches"):
        ce.train(tiny_config("trainer.limit_val_batches=0.5"), tmp_path / "new" / "run")
    assert not list(tmp_path.iterdir())

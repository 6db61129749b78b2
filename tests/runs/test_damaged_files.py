"""What is wrong with a run's directory: one message that names it, from every command that reads it."""

import shutil
from pathlib import Path

import pytest
import torch

from tests.conftest import Run

REPORT, RESUME = ("report", "runs={run}", "output=report"), ("train", "resume={run}")
PREDICT, EVAL = ("predict", "run={run}", "image=image.png", "picture=null"), ("eval", "run={run}")


def copy_of(run: Path, place: Path) -> Path:
    shutil.copytree(run, place / "copy")
    return place / "copy"


@pytest.mark.parametrize("command", [REPORT, RESUME], ids=lambda words: words[0])
@pytest.mark.parametrize(
    ("file", "text"),
    [
        (".hydra/hydra.yaml", "hydra: 3"),
        (".hydra/hydra.yaml", "hydra: {runtime: {choices: [a]}}"),
        (".hydra/hydra.yaml", "\t"),
        (".hydra/config.yaml", "[a]"),
        (".hydra/config.yaml", "name: ${nothing}"),
        (".hydra/config.yaml", "a: &x [*x]"),
    ],
)
def test_a_damaged_yaml_file_is_named(
    command: tuple[str, ...], file: str, text: str, trained_run: Path, cifar_exp: Run, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    run = copy_of(trained_run, tmp_path)
    (run / file).write_text(text)
    if command is RESUME:
        (run / "result.json").unlink()
    assert cifar_exp(*(word.format(run=run) for word in command)) == 2
    message = capsys.readouterr().err
    assert str(run / file) in message
    assert len(message.splitlines()) <= 12
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize(
    ("file", "text"),
    [
        (".hydra/overrides.yaml", "a: b"),
        ("result.json", '{"status": "finished"}'),
        ("result.json", '{"status": "finished", "model": "m", "params": 1, "val/acc": NaN, "test/acc": 0.5}'),
        ("test.json", '{"class_acc": {"a": 0.5, "b": 1}, "confusion": [[1, 0]]}'),
        ("metrics.csv", "hello world"),
    ],
)
def test_a_damaged_outcome_is_named(
    file: str, text: str, trained_run: Path, cifar_exp: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = copy_of(trained_run, tmp_path)
    (run / file).write_text(text)
    assert cifar_exp("report", f"runs={run}", "output=report") == 2
    assert f"{run / file}: damaged" in capsys.readouterr().err


@pytest.mark.parametrize("command", [PREDICT, EVAL, (*EVAL, "format=json")], ids=lambda words: words[-1])
def test_weights_that_are_not_finite_print_no_nan(
    command: tuple[str, ...], trained_run: Path, cifar_exp: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    run = copy_of(trained_run, tmp_path)
    checkpoint = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    for weights in checkpoint["state_dict"].values():
        if weights.is_floating_point():
            weights.fill_(torch.nan)
    torch.save(checkpoint, run / "checkpoints" / "best.ckpt")
    Image.new("RGB", (32, 32)).save(tmp_path / "image.png")
    assert cifar_exp(*(word.format(run=run) for word in command)) == 1
    printed = capsys.readouterr()
    assert "nan" not in printed.out.lower()
    assert "not finite" in printed.err


@pytest.mark.parametrize("content", [b"", b"hello world", b"{", b"\x80\x02]q\x01.", b"PK\x03\x04"])
@pytest.mark.parametrize(("command", "file"), [(EVAL, "best.ckpt"), (RESUME, "last.ckpt")], ids=["eval", "resume"])
def test_a_damaged_checkpoint_is_named(
    command: tuple[str, ...], file: str, content: bytes, trained_run: Path, cifar_exp: Run, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    run = copy_of(trained_run, tmp_path)
    (run / "checkpoints" / file).write_bytes(content)
    (run / "result.json").unlink()
    assert cifar_exp(*(word.format(run=run) for word in command)) == 2
    assert f"{run / 'checkpoints' / file}: not a readable checkpoint" in capsys.readouterr().err


def test_a_picture_that_nobody_asked_for_and_that_cannot_be_drawn_costs_nothing(
    trained_run: Path, cifar_exp: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    from PIL import Image

    def broken(*_: object) -> None:
        raise ValueError("unknown letter")

    monkeypatch.setattr("cifar_exp.plots.predictions.draw_predictions", broken)
    Image.new("RGB", (32, 32)).save(tmp_path / "image.png")
    assert cifar_exp("predict", f"run={trained_run}", "image=image.png") == 0
    assert "no picture: unknown letter" in capsys.readouterr().err


def test_a_teacher_cannot_be_added_to_a_run_that_continues(
    trained_run: Path, cifar_exp: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = copy_of(trained_run, tmp_path)
    (run / "result.json").unlink()
    assert cifar_exp("train", f"resume={run}", f"distill.teacher={trained_run}") == 2
    assert "distill.teacher: the run has null" in capsys.readouterr().err

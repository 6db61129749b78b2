"""What is made of a network's answers, and what `eval` says of them."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from cifar_exp.inference.evaluation import Evaluation
from cifar_exp.plots.predictions import mosaic_of_errors
from tests.conftest import Run
from tests.training.tiny import result


def evaluation(probabilities: list[list[float]], labels: list[int]) -> Evaluation:
    return Evaluation(torch.tensor(probabilities).log(), torch.tensor(labels), ("cat", "dog"))


def test_calibration_error_is_the_gap_between_confidence_and_accuracy() -> None:
    certain = [[0.99, 0.01]] * 4
    assert evaluation(certain, [0, 0, 0, 0]).calibration_error == pytest.approx(0.01, abs=1e-6)
    assert evaluation(certain, [0, 0, 1, 1]).calibration_error == pytest.approx(0.49, abs=1e-6)


def test_calibration_errors_of_different_confidence_do_not_cancel() -> None:
    half_over_half_under = [[0.95, 0.05]] * 2 + [[0.55, 0.45]] * 2
    assert evaluation(half_over_half_under, [0, 1, 0, 0]).calibration_error == pytest.approx(0.45, abs=1e-6)


def test_the_most_confident_errors_come_first() -> None:
    found = evaluation([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.3, 0.7]], [1, 1, 1, 0])
    assert found.most_wrong(36).tolist() == [0, 3, 1]
    assert found.most_wrong(2).tolist() == [0, 3]


def test_a_mosaic_shows_errors_and_is_none_without() -> None:
    images = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    picture = mosaic_of_errors(evaluation([[0.9, 0.1], [0.6, 0.4]], [1, 0]), images)
    assert picture is not None
    assert picture.ndim == 3
    assert mosaic_of_errors(evaluation([[0.9, 0.1], [0.6, 0.4]], [0, 0]), images) is None


def test_eval_repeats_the_run_s_own_test_and_adds_flip_averaging(
    cifar_exp: Run, trained_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cifar_exp("eval", f"run={trained_run}", "format=json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["test/acc"] == result(trained_run)["test/acc"]
    assert found["test/loss"] == pytest.approx(result(trained_run)["test/loss"], rel=1e-5)
    saved = json.loads((trained_run / "test.json").read_text())
    assert found["class_acc"] == saved["class_acc"]
    assert found["confusion"] == saved["confusion"]
    assert found["test/ece"] == pytest.approx(saved["test/ece"], abs=1e-5)
    assert sum(map(sum, found["confusion"])) == 60
    assert {"test/ece", "test/acc_flip", "test/loss_flip", "test/ece_flip"} <= set(found)
    assert found["test/loss_flip"] != found["test/loss"]


def test_eval_writes_nothing_into_the_run(cifar_exp: Run, trained_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(trained_run, tmp_path / "older"))
    (run / "test.json").unlink()
    before = sorted(run.rglob("*"))
    assert cifar_exp("eval", f"run={run}") == 0
    assert sorted(run.rglob("*")) == before


def test_weights_alone_are_tested_on_chosen_data(
    cifar_exp: Run, trained_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = shutil.copy(trained_run / "checkpoints" / "best.ckpt", tmp_path / "shipped.ckpt")
    data = ("data=synthetic", "data.num_classes=4", "data.train_size=300", "data.test_size=60")
    assert cifar_exp("eval", f"run={weights}", *data, "format=json") == 0
    assert json.loads(capsys.readouterr().out)["test/acc"] == result(trained_run)["test/acc"]
    assert cifar_exp("eval", f"run={weights}") == 2
    assert "data=" in capsys.readouterr().err


def test_the_tables_show_both_ways_of_testing(
    cifar_exp: Run, trained_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cifar_exp("eval", f"run={trained_run}") == 0
    printed = capsys.readouterr().out
    for words in ("expected calibration error", "flip averaged", "Per-class accuracy", "Confusion"):
        assert words in printed

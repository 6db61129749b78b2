"""Sweeps of real trainings: pruned, resumed, in other processes, and retrained."""

import json
import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import optuna
import pytest
import yaml

from cifar_exp.config.schema import TrialConfig
from cifar_exp.errors import TakenOverError
from cifar_exp.runs.run import load_run
from cifar_exp.sweep.study.storage import open_storage
from cifar_exp.sweep.worker.reporting import TrialReporter
from cifar_exp.training.module import ImageClassifier
from tests.sweep.conftest import numbers, study_in, table

Run = Callable[..., int]

TINY = (
    "data=synthetic",
    "data.train_size=200",
    "data.test_size=50",
    "trainer.max_epochs=1",
    "trainer.accelerator=cpu",
    "logger.mode=disabled",
    "model=model50k",
    "budget.params=20000",
    "model.head.hidden=[]",
    "model.layers.conv1.channels=8",
    "model.layers.conv2.channels=16",
    "model.layers.conv3.channels=8",
    "model.layers.conv4.channels=16",
    "model.layers.conv7.channels=range(8,65,step=8)",
)


def arguments(directory: Path | str, n_trials: int, *more: str) -> list[str]:
    sweep = ("hydra/sweeper=budgeted", f"hydra.sweep.dir={directory}", f"hydra.sweeper.n_trials={n_trials}")
    return ["train", "-m", *sweep, *TINY, *more]


def test_the_winner_of_a_sweep_can_be_trained_again(cifar_exp: Run, tmp_path: Path) -> None:
    assert cifar_exp(*arguments("sweep", 3)) == 0
    best = max(table(tmp_path / "sweep"), key=lambda row: float(row["val/acc"]))
    tiny = [one for one in TINY if not one.startswith("model")]
    assert cifar_exp("train", "--config-dir", "sweep/best", "model=best", *tiny, "hydra.run.dir=again") == 0
    again = json.loads((tmp_path / "again" / "result.json").read_text())
    assert again["val/acc"] == float(best["val/acc"])
    assert again["params"] == int(best["params"])


def test_poor_trials_are_pruned_and_count(cifar_exp: Run, tmp_path: Path) -> None:
    """The learning rate alone is searched: most are far too small to learn anything."""
    more = ("model.layers.conv7.channels=32", "optimizer.lr=choice(1e-2,1e-9,2e-9,3e-9,4e-9)", "trainer.max_epochs=4")
    pruner = ("hydra.sweeper.pruner.n_startup_trials=1", "hydra.sweeper.pruner.n_warmup_steps=2")
    assert cifar_exp(*arguments("sweep", 5, *more, *pruner, "hydra/sweeper/sampler=grid", "data.train_size=600")) == 0
    rows = table(tmp_path / "sweep")
    assert len(rows) == 5
    pruned = [row for row in rows if row["state"] == "pruned"]
    assert pruned
    for row in pruned:
        result = json.loads((tmp_path / "sweep" / row["number"] / "result.json").read_text())
        assert (result["status"], result["epochs"] < 4) == ("pruned", True)
    trial = study_in(tmp_path / "sweep").trials[0]
    assert list(trial.intermediate_values) == [1, 2, 3, 4]


def test_a_loss_that_is_not_finite_fails_its_trial_alone(cifar_exp: Run, tmp_path: Path) -> None:
    more = ("model.layers.conv7.channels=32", "optimizer=sgd", "optimizer.lr=choice(1e30,0.01)", "trainer.max_epochs=2")
    assert cifar_exp(*arguments("sweep", 2, *more, "hydra/sweeper/sampler=grid")) == 0
    assert [row["state"] for row in table(tmp_path / "sweep")] == ["failed", "complete"]
    (reason,) = yaml.safe_load((tmp_path / "sweep" / "optimization_results.yaml").read_text())["failed"].values()
    assert "loss" in reason


def test_a_sweep_that_a_scheduler_ends_continues(
    cifar_exp: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(module: ImageClassifier) -> None:
        if module.current_epoch == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    sweep = arguments("sweep", 2, "model.layers.conv7.channels=choice(8,16)", "trainer.max_epochs=3")
    run = tmp_path / "sweep" / "0"
    with monkeypatch.context() as patch:
        patch.setattr(ImageClassifier, "on_validation_epoch_start", ended)
        with pytest.raises(KeyboardInterrupt, match="Continue it: the same command"):
            cifar_exp(*sweep)
    first_row = (run / "metrics.csv").read_text().splitlines()[1]
    assert [trial.state.name for trial in study_in(tmp_path / "sweep").trials] == ["RUNNING"]
    assert cifar_exp(*sweep) == 0
    assert [row["state"] for row in table(tmp_path / "sweep")] == ["complete", "complete"]
    rows = (run / "metrics.csv").read_text().splitlines()[1:]
    assert [row.split(",")[0] for row in rows] == ["0", "1", "2"]
    assert rows[0] == first_row  # its seconds too: it was not trained again


def test_a_worker_of_a_launcher_trains_in_a_process_of_its_own(cifar_exp: Run, tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    assert cifar_exp(*arguments("sweep", 2, "hydra/launcher=submitit_local")) == 0
    assert numbers(tmp_path / "sweep") == [0, 1]
    assert {row["state"] for row in table(tmp_path / "sweep")} == {"complete"}
    trials = [load_run(tmp_path / "sweep" / str(number)) for number in range(2)]
    assert [trial.config.trainer.devices for trial in trials if trial.config] == [1, 1]


def reporter(tmp_path: Path, pruner: str, directions: tuple[str, ...] = ("maximize",)) -> TrialReporter:
    """The reporter of trial 2 of a study whose trials 0 and 1 were good."""
    url = f"sqlite:///{tmp_path / 'study.db'}"
    study = optuna.create_study(study_name="s", storage=url, directions=directions)
    study.set_user_attr("pruner", {"name": pruner, **({"n_startup_trials": 1} if pruner == "median" else {})})
    for _ in range(2):
        trial = study.ask()
        if len(directions) == 1:
            trial.report(0.9, 1)
        study.tell(trial, [0.9] * len(directions))
    study.ask()
    return TrialReporter(TrialConfig(storage=url, study_name="s", number=2))


def epoch(reporter: TrialReporter, metrics: dict[str, float], max_epochs: int = 2) -> None:
    """What Lightning does at the end of the first epoch."""
    trainer = SimpleNamespace(callback_metrics=metrics, current_epoch=0, max_epochs=max_epochs)
    reporter.on_fit_start(trainer, None)  # type: ignore[arg-type]
    reporter.on_train_epoch_end(trainer, None)  # type: ignore[arg-type]


def test_the_reporter_ends_a_poor_trial(tmp_path: Path) -> None:
    with pytest.raises(optuna.TrialPruned, match=r"0\.1000 after epoch 1"):
        epoch(reporter(tmp_path, "median"), {"val/acc": 0.1})
    assert study_in(tmp_path, "s").trials[2].intermediate_values == {1: 0.1}


def test_the_reporter_lets_a_poor_trial_end_that_has_trained_its_last_epoch(tmp_path: Path) -> None:
    epoch(reporter(tmp_path, "median"), {"val/acc": 0.1}, max_epochs=1)
    assert study_in(tmp_path, "s").trials[2].intermediate_values == {1: 0.1}


def test_the_reporter_lets_a_good_trial_continue(tmp_path: Path) -> None:
    epoch(reporter(tmp_path, "median"), {"val/acc": 0.95, "val/loss": 0.1})


def test_without_a_pruner_or_with_two_objectives_no_trial_is_ended(tmp_path: Path) -> None:
    epoch(reporter(tmp_path, "none"), {"val/acc": 0.1})
    (tmp_path / "two").mkdir()
    epoch(reporter(tmp_path / "two", "median", ("maximize", "minimize")), {"val/acc": 0.1})


def test_a_trial_that_was_taken_over_stops_before_it_writes(tmp_path: Path) -> None:
    one = reporter(tmp_path, "none")
    one.on_fit_start(None, None)  # type: ignore[arg-type]
    one.on_validation_start(None, None)  # type: ignore[arg-type]
    open_storage(f"sqlite:///{tmp_path / 'study.db'}").set_trial_user_attr(3, "worker", {"attempt": 2})
    with pytest.raises(TakenOverError, match="trial 2 was taken over"):
        one.on_validation_start(None, None)  # type: ignore[arg-type]


def test_a_cost_that_is_minimized_prunes_nothing(tmp_path: Path) -> None:
    one = reporter(tmp_path, "median", ("minimize",))
    one.on_fit_start(None, None)  # type: ignore[arg-type]
    study_in(tmp_path, "s").set_metric_names(["seconds_per_epoch"])
    epoch(one, {"val/acc": 0.99})


def test_a_storage_out_of_reach_stops_no_training(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one = reporter(tmp_path, "median")
    epoch(one, {"val/acc": 0.95})
    one._storage = SimpleNamespace(set_trial_intermediate_value=lambda *_: 1 / 0)
    one.on_fit_start = lambda *_: None  # type: ignore[method-assign]
    with caplog.at_level(logging.WARNING):
        epoch(one, {"val/acc": 0.1})
    assert "not reported to the study" in caplog.text

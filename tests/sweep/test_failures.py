"""What a sweep does about errors: of the user before it starts, of trials while it runs."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.sweep.conftest import sweep_arguments, table

Pretend = Callable[..., int]


def test_failed_trials_are_marked_with_their_reason_and_the_others_continue(
    pretend: Pretend, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sweep = tmp_path / "sweep"
    assert pretend(*sweep_arguments(sweep, 5), misfortunes={0: "raises", 2: "nan", 3: "exits"}) == 0
    assert [row["state"] for row in table(sweep)] == ["failed", "complete", "failed", "failed", "complete"]
    failed = yaml.safe_load((sweep / "optimization_results.yaml").read_text())["failed"]
    assert failed == {
        0: "ValueError: no such luck",
        2: "val/acc is nan",
        3: "RuntimeError: the job ended with exit status 3",
    }
    assert json.loads((sweep / "0" / "result.json").read_text())["status"] == "failed"
    assert "no such luck" in capfd.readouterr().err


def test_when_every_trial_fails_the_message_contains_the_reason(
    pretend: Pretend, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert pretend(*sweep_arguments(tmp_path / "sweep", 2), misfortunes={0: "raises", 1: "raises"}) == 2
    assert capfd.readouterr().err.rstrip().endswith("All 2 trials failed; 2 of them with:\nValueError: no such luck")
    assert len(table(tmp_path / "sweep")) == 2


def test_a_space_with_nothing_within_the_budget_is_reported_at_once(
    pretend: Pretend, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    assert pretend(*sweep_arguments(tmp_path / "sweep", 2, "budget.params=5000")) == 2
    assert time.monotonic() - began < 15
    told = capfd.readouterr().err
    assert "nothing in this space is within the budget" in told
    assert "budget.params=5,000" in told
    assert len(told.strip().splitlines()) <= 12
    assert not (tmp_path / "sweep").exists()


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (("hydra.sweeper.n_trials=0",), "hydra.sweeper.n_trials"),
        (("+hydra.sweeper.n_trails=3",), "Did you mean 'n_trials'?"),
        (("hydra.sweeper.sampler.name=tpee",), "Did you mean 'tpe'?"),
        (("hydra.sweeper.pruner.name=medium",), "Did you mean 'median'?"),
        (("+hydra.sweeper.sampler.startup=3",), "startup"),
        (("hydra.sweeper.objectives=[test/acc]",), "'test/acc' is not an objective"),
        (("hydra.sweeper.objectives=[val/acc,macs]",), "1 direction(s) for 2 objective(s)"),
        (("hydra.sweeper.fill=model.layers.conv3.channels",), "'model.layers.conv3.channels' is not swept"),
        (
            ("+hydra.sweeper.sampler.population_size=9", "hydra/sweeper/sampler=nsgaii"),
            "+hydra.sweeper.sampler.population_size: has a value already; leave out the +.",
        ),
        (
            ("+hydra.sweeper.sampler.group=true",),
            "hydra.sweeper.sampler (tpe): multivariate=true and group=false are needed",
        ),
        (("hydra.sweeper.prefer=mac",), "'mac' is not a cost. Did you mean 'macs'?"),
        (("hydra.sweeper.storage=nonsense",), "storage"),
        (("hydra.sweeper.storage=postgresql+psycopg://me:secret@127.0.0.1:1/none",), "cannot use postgresql"),
        (("model.layers.conv7.channels=range(9,9)",), "an empty range"),
        (("model.layers.conv9.channels=range(9,19)",), "conv9"),
        (("trainer.max_epochs=lots",), "trainer.max_epochs: expected"),
        (("data=folder", "data.root=/nowhere"), "data.root: there is no directory"),
        (("hydra.sweep.dir=/dev/null/sweep",), "/dev/null/sweep: nothing can be written"),
        (
            ("hydra/sweeper/sampler=grid", "optimizer.lr=interval(0.1,0.2)"),
            "optimizer.lr: expected a range",
        ),
        (("optimizer.lrr=interval(0.1,0.2)",), "optimizer.lr"),
        (("tags=['']",), "tags"),
        (
            ("model.layers.conv4.conv_type=choice(standard,seperable)",),
            "conv_type: unknown 'seperable'. Did you mean 'separable'?",
        ),
        (("experiment=null,model2",), "experiment=null: expected the name of an option"),
        (("model.layers.conv4.skip=choice(null,conv3)",), "choice(…) takes no null"),
        (("hydra.sweep.subdir=${nowhere}",), "hydra.sweep.subdir: Interpolation key 'nowhere' not found."),
        (
            (f"hydra.sweeper.study_name={'s' * 130}",),
            "hydra.sweeper.study_name: expected at most 120 characters, got 130.",
        ),
        (("optimizer.lr=interval(-1,1)",), "optimizer.lr: expected a number > 0"),
        (("model.layers.conv6.skip=choice(conv5,conv55)",), "conv6.skip: 'conv55' is no layer before 'conv6'"),
        (("optimizer=choice(adam,adamx)",), "adamx"),
        (("model=choice(model50k,resnet8)",), "- model.layers.conv1.channels: no layer 'conv1'"),
    ],
)
def test_errors_are_reported_before_anything_is_made(
    pretend: Pretend, tmp_path: Path, capfd: pytest.CaptureFixture[str], more: tuple[str, ...], expected: str
) -> None:
    assert pretend(*sweep_arguments(tmp_path / "sweep", 2, *more)) == 2
    told = capfd.readouterr().err
    assert expected in told
    assert told.count("conv_type") <= 1
    assert "secret" not in told
    assert "Traceback" not in told
    assert len(told.strip().splitlines()) <= 12
    assert not (tmp_path / "sweep").exists()


def test_first_trials_that_fail_for_one_reason_are_not_used_up(
    pretend: Pretend, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sweep = tmp_path / "sweep"
    assert pretend(*sweep_arguments(sweep, 4), misfortunes=dict.fromkeys(range(4), "raises")) == 2
    assert "first 3 trials failed for one reason:\nValueError: no such luck" in capfd.readouterr().err
    assert pretend(*sweep_arguments(sweep, 4)) == 0
    assert [row["state"] for row in table(sweep)] == ["complete"] * 4


@pytest.mark.parametrize("cause", ["user error", "full disk"])
def test_a_cause_that_all_trials_share_stops_the_sweep(
    pretend: Pretend, tmp_path: Path, capfd: pytest.CaptureFixture[str], cause: str
) -> None:
    sweep = tmp_path / "sweep"
    assert pretend(*sweep_arguments(sweep, 3), misfortunes={1: cause}) == 2
    reported = capfd.readouterr().err
    assert "all trials would fail (trial 1)" in reported
    assert "Traceback" not in reported
    assert pretend(*sweep_arguments(sweep, 3)) == 0
    assert [row["state"] for row in table(sweep)] == ["complete"] * 3


def test_more_workers_than_a_machine_can_run_are_an_error(
    pretend: Pretend, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    many = ("hydra/launcher=joblib", "hydra.sweeper.n_jobs=9999")
    assert pretend(*sweep_arguments(tmp_path / "sweep", 2, *many)) == 2
    assert "hydra.sweeper.n_jobs=9999: each is a process here; expected at most" in capfd.readouterr().err
    assert not (tmp_path / "sweep").exists()

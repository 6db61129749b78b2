"""Who works on which trial, when workers elsewhere fall silent."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from optuna.distributions import IntDistribution
from optuna.trial import FrozenTrial, TrialState

from cifar_exp.config.overrides import parse_overrides
from cifar_exp.sweep.search.proposals import Proposal
from cifar_exp.sweep.search.space import build_space
from cifar_exp.sweep.settings import parse_settings
from cifar_exp.sweep.study.storage import open_storage
from cifar_exp.sweep.study.study import WORKER, SharedStudy
from cifar_exp.sweep.worker.outcome import Outcome

GRACE = 1


@contextmanager
def worker(tmp_path: Path, name: str, beating: bool = True) -> Iterator[SharedStudy]:
    """A worker with its own directory, on the storage that all share."""
    settings = parse_settings(
        {"n_trials": 9, "study_name": "s", "sampler": {}, "pruner": {"name": "none"}, "grace_period": GRACE}
    )
    space = build_space(parse_overrides(["a=range(10)"]))
    study = SharedStudy(f"sqlite:///{tmp_path / 'shared.db'}", settings, space, tmp_path / name)
    if beating:
        with study.heartbeat:
            yield study
    else:
        yield study


def add(study: SharedStudy, value: int) -> None:
    study.add(Proposal({"a": value}, {"params": 5}, {"name": "net"}, 3, 1, {}))


def first(study: SharedStudy) -> FrozenTrial:
    return study.trials()[0]


def elsewhere(tmp_path: Path) -> None:
    """Makes the trial's worker one of another machine, whose locks cannot be seen from here."""
    storage = open_storage(f"sqlite:///{tmp_path / 'shared.db'}")
    worker = storage.get_trial(1).user_attrs[WORKER]
    storage.set_trial_user_attr(1, WORKER, {**worker, "host": "elsewhere", "lock": "/none"})


def test_a_trial_enters_the_study_whole_and_waiting(tmp_path: Path) -> None:
    with worker(tmp_path, "one") as one:
        add(one, 4)
        trial = first(one)
        assert trial.state == TrialState.WAITING
        assert trial.params == {"a": 4}
        assert trial.distributions == {"a": IntDistribution(0, 9)}
        assert trial.user_attrs == {"params": 5, "priced": 3, "within_budget": 1, "model": {"name": "net"}}


def test_one_of_two_that_claim_a_trial_has_it(tmp_path: Path) -> None:
    with worker(tmp_path, "one") as one, worker(tmp_path, "two") as two:
        add(one, 4)
        seen_by_two = first(two)
        assert one.claim(first(one), tmp_path / "one" / "0")
        assert not two.claim(seen_by_two, tmp_path / "two" / "0")
        assert one.is_ours(seen_by_two)
        assert not two.is_ours(seen_by_two)


def test_a_living_worker_s_trial_is_not_taken_over(tmp_path: Path) -> None:
    with worker(tmp_path, "one") as one, worker(tmp_path, "two") as two:
        add(one, 4)
        one.claim(first(one), tmp_path / "one" / "0")
        assert not two.take_over(first(two), tmp_path / "two" / "0")  # its lock is held
        elsewhere(tmp_path)
        assert not two.take_over(first(two), tmp_path / "two" / "0")
        time.sleep(GRACE + 0.5)
        assert not two.take_over(first(two), tmp_path / "two" / "0")  # its heart beats


def test_a_silent_worker_s_trial_is_taken_over_by_one(tmp_path: Path) -> None:
    with worker(tmp_path, "silent", beating=False) as silent:
        add(silent, 4)
        with worker(tmp_path, "one") as one, worker(tmp_path, "two") as two:
            silent.claim(first(silent), tmp_path / "silent" / "0")
            elsewhere(tmp_path)
            seen = first(one), first(two)
            assert not one.take_over(seen[0], tmp_path / "one" / "0")  # each looks twice at the counter
            assert not two.take_over(seen[1], tmp_path / "two" / "0")
            time.sleep(GRACE + 0.3)
            taken = [one.take_over(seen[0], tmp_path / "one" / "0"), two.take_over(seen[1], tmp_path / "two" / "0")]
            assert taken == [True, False]
            one.tell(first(one), Outcome("COMPLETE", [0.5]))
            silent.tell(first(silent), Outcome("FAIL", reason="woke up too late"))
            assert first(two).state == TrialState.COMPLETE
            assert len(two.trials()) == 1


def test_a_dead_worker_of_this_machine_is_known_at_once(tmp_path: Path) -> None:
    with worker(tmp_path, "dead") as dead:
        add(dead, 4)
        dead.claim(first(dead), tmp_path / "dead" / "0")
        dead.release(first(dead))  # the kernel frees a dead process's locks
        with worker(tmp_path, "one") as one, worker(tmp_path, "two") as two:
            seen_by_two = first(two)
            assert one.take_over(first(one), tmp_path / "one" / "0")
            assert not two.take_over(seen_by_two, tmp_path / "two" / "0")


@pytest.mark.parametrize(
    ("outcome", "state", "value"),
    [
        (Outcome("COMPLETE", [0.5], figures={"val/acc": 0.5, "seconds": 3.0}), TrialState.COMPLETE, 0.5),
        (Outcome("FAIL", reason="it rained"), TrialState.FAIL, None),
        (Outcome("PRUNED", figures={"val/acc": 0.1}), TrialState.PRUNED, None),
    ],
)
def test_how_a_trial_ended_is_recorded(
    tmp_path: Path, outcome: Outcome, state: TrialState, value: float | None
) -> None:
    with worker(tmp_path, "one") as one:
        add(one, 4)
        one.claim(first(one), tmp_path / "one" / "0")
        one.tell(first(one), outcome)
        trial = first(one)
        assert (trial.state, trial.value) == (state, value)
        assert trial.user_attrs.get("reason") == outcome.reason
        assert {name: trial.user_attrs[name] for name in outcome.figures} == outcome.figures

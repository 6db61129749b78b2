"""The process that keeps workers running, and a worker whose time on its cluster is up."""

import os
import signal
import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from hydra.core.utils import JobReturn, JobStatus
from optuna.trial import FrozenTrial, TrialState, create_trial

from cifar_exp.errors import UserError
from cifar_exp.sweep.worker import driver as module
from cifar_exp.sweep.worker.driver import Driver
from cifar_exp.sweep.worker.preemption import interrupted_when_time_is_up


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(module, "STOP_SECONDS", 0.05)


def ended(value: Any = None) -> list[JobReturn]:
    """What a launcher returns of a worker that returned."""
    job = JobReturn(status=JobStatus.COMPLETED)
    job.return_value = value
    return [job]


def run(launch: Callable[[int, int], Sequence[JobReturn]], trials: list[FrozenTrial], is_over: bool = False) -> None:
    """Run a driver of one worker."""
    study: Any = SimpleNamespace(trials=lambda: list(trials))
    Driver(launch, count=1, together=False).run(study, lambda _: is_over, lambda _: None)


def test_a_lost_worker_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    numbers: list[int] = []

    def launch(first: int, count: int) -> list[JobReturn]:
        numbers.append(first)
        if first == 0:
            raise RuntimeError("out of memory")
        return ended()

    run(launch, [])
    assert numbers == [0, 1]
    assert "A worker was lost (RuntimeError: out of memory); another takes its place." in caplog.text


def test_workers_that_cannot_run_are_given_up() -> None:
    numbers: list[int] = []

    def launch(first: int, count: int) -> list[JobReturn]:
        numbers.append(first)
        raise RuntimeError("no such partition")

    with pytest.raises(UserError, match=r"3 were lost one after the other\.\nRuntimeError: no such partition"):
        run(launch, [])
    assert numbers == [0, 1, 2]


def test_workers_that_make_progress_may_be_lost_any_number_of_times() -> None:
    trials = [create_trial(state=TrialState.RUNNING)]

    def launch(first: int, count: int) -> list[JobReturn]:
        if first == 6:
            return ended()
        trials[0] = create_trial(state=TrialState.RUNNING, intermediate_values=dict.fromkeys(range(first + 1), 0.5))
        raise RuntimeError("the time limit of the job")

    run(launch, trials)


def test_a_user_error_of_a_worker_stops_the_sweep() -> None:
    def launch(first: int, count: int) -> list[JobReturn]:
        raise UserError("data.root: there is no directory")

    with pytest.raises(UserError, match="there is no directory"):
        run(launch, [])


def test_a_complete_sweep_does_not_wait_for_workers_that_never_started() -> None:
    began = time.monotonic()

    def launch(first: int, count: int) -> list[JobReturn]:
        time.sleep(60)  # in the cluster's queue
        return ended()

    run(launch, [], is_over=True)
    assert time.monotonic() - began < 30


@pytest.mark.skipif(not hasattr(signal, "SIGUSR2"), reason="no such signal")
def test_a_worker_whose_time_is_up_gives_its_trial_up_before_its_job_ends() -> None:
    """The launcher's own handler ends the process; a trial would take that for its failure."""

    def requeue(*_: Any) -> None:
        raise SystemExit("requeued")

    def work() -> None:
        with interrupted_when_time_is_up():
            try:
                os.kill(os.getpid(), signal.SIGUSR2)
                time.sleep(60)
            except (SystemExit, Exception) as error:
                pytest.fail(f"the trial failed: {error}")

    before = signal.signal(signal.SIGUSR2, requeue)
    try:
        with pytest.raises(SystemExit, match="requeued"):
            work()
        assert signal.getsignal(signal.SIGUSR2) is requeue
    finally:
        signal.signal(signal.SIGUSR2, before)


def test_a_complete_study_starts_no_worker() -> None:
    study: Any = SimpleNamespace(trials=list)
    for together in (True, False):
        launch = lambda first, count: pytest.fail("started")  # noqa: E731
        Driver(launch, count=0, together=together).run(study, lambda _: True, lambda _: None)

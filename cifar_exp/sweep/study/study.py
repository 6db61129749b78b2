"""The study that all workers share: which trials there are, which worker trains which, and how each ended.

A trial's number is its place in the study, from 0, and is never used twice. A candidate over the budget gets none, so
the sweep is over when the trials below `n_trials` have ended. A trial enters the study complete (parameters, cost,
model) and waiting; the worker that first sets it running trains it. A trial whose worker died stays running under its
number until another worker takes it over, so that nothing is counted twice.

Optuna's `Study` cannot claim a certain waiting trial, nor set an attribute of a running trial by its number. Its
`BaseStorage`, which it exports for the authors of storages, can.
"""

import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import optuna
from filelock import BaseFileLock
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from cifar_exp.runs.lock import take
from cifar_exp.sweep.search.proposals import Proposal
from cifar_exp.sweep.search.pruners import PRUNER
from cifar_exp.sweep.search.space import Space
from cifar_exp.sweep.settings import SweepSettings
from cifar_exp.sweep.study.heartbeat import Heartbeat, Watch, is_elsewhere, lock_of_dead, this_worker
from cifar_exp.sweep.study.identity import check_same, identity
from cifar_exp.sweep.study.storage import open_storage, sqlite_file
from cifar_exp.sweep.worker.outcome import Outcome

# User attributes of a trial; ABOUT is one of the study.
WORKER, BEAT, HELD, ABOUT = "worker", "beat", "held", "about"
CONFIRM_SECONDS = 0.5  # after taking a trial over from another machine, before checking that no other worker did too


class SharedStudy:
    """A study in a storage that others may work on at the same time."""

    def __init__(self, url: str, settings: SweepSettings, space: Space, sweep_dir: Path) -> None:
        """Open the study, or create it.

        Raises:
            UserError: it was created with other settings.
        """
        self._settings = settings
        self._space = space
        self._locks_dir = sweep_dir / ".locks"
        file = sqlite_file(url)
        self._mutex_file = file.with_name(f".{file.name}.lock") if file else self._locks_dir / "study"
        self._locks: dict[int, BaseFileLock | None] = {}  # of our trials; None: a file system without locks
        self._tokens: dict[int, str] = {}
        self._driver_beats = 0
        self._watch = Watch(settings.grace_period)
        self.heartbeat = Heartbeat(settings.grace_period)
        with self.mutex():
            self._storage = open_storage(url)
            self._study = self._opened()
        self._id = self._storage.get_study_id_from_name(settings.study_name)

    def _opened(self) -> optuna.Study:
        settings, about = self._settings, identity(self._space, self._settings)
        try:
            study = optuna.load_study(study_name=settings.study_name, storage=self._storage)
            check_same(study.user_attrs.get(ABOUT, about), about, settings.study_name)
        except KeyError:
            study = optuna.create_study(
                study_name=settings.study_name,
                storage=self._storage,
                directions=settings.directions,
                load_if_exists=True,
            )
        if study.user_attrs.get(ABOUT) is None:
            study.set_user_attr(ABOUT, about)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # experimental
                study.set_metric_names(settings.metrics)
        if study.user_attrs.get(PRUNER) != settings.pruner:
            study.set_user_attr(PRUNER, settings.pruner)
        return study

    @contextmanager
    def mutex(self) -> Iterator[None]:
        """Let one process of this machine at a time propose, so that it sees the candidates of the others."""
        lock = take(self._mutex_file, wait=True)
        try:
            yield
        finally:
            _release(lock)

    def trials(self) -> list[FrozenTrial]:
        """Return all trials, in the order of their numbers."""
        return self._study.get_trials(deepcopy=False)

    def add(self, proposal: Proposal) -> None:
        """Add a candidate as a trial that waits for a worker."""
        attrs = {
            **proposal.costs,
            "priced": proposal.priced,
            "within_budget": proposal.within_budget,
            **({"model": proposal.model} if proposal.model is not None else {}),
        }
        self._study.add_trial(
            optuna.create_trial(
                state=TrialState.WAITING,
                params=proposal.candidate,
                distributions=self._space.distributions,
                user_attrs=attrs,
                system_attrs=proposal.notes,
            )
        )

    def claim(self, trial: FrozenTrial, directory: Path) -> bool:
        """Set a waiting trial running in `directory`; return False if another process was first."""
        lock = take(self._lock_file(trial.number))
        try:
            claimed = self._storage.set_trial_state_values(self._trial_id(trial.number), state=TrialState.RUNNING)
        except UpdateFinishedTrialError:
            claimed = False
        if not claimed:
            _release(lock)
            return False
        self._own(trial.number, lock, directory)
        return True

    def take_over(self, trial: FrozenTrial, directory: Path) -> bool:
        """Take over a running trial if its worker is dead; return False if it may be alive, or another was first."""
        worker = trial.user_attrs.get(WORKER)
        lock = lock_of_dead(worker)
        if lock is None:
            counter = (worker, trial.user_attrs.get(BEAT))
            if not is_elsewhere(worker) or not self._watch.is_silent(trial.number, counter):
                return False
        now = self._now(trial.number)
        is_unchanged = now.state == TrialState.RUNNING and now.user_attrs.get(WORKER) == worker
        if not is_unchanged or (lock is None and now.user_attrs.get(BEAT) != trial.user_attrs.get(BEAT)):
            _release(lock)
            return False
        self._own(trial.number, lock or take(self._lock_file(trial.number)), directory)
        if is_elsewhere(worker):
            time.sleep(CONFIRM_SECONDS)
            if not self.is_still_ours(trial):
                self.release(trial)
                return False
        return True

    def beat_driver(self, token: str) -> None:
        """Increment the counter of the process that started the workers."""
        self._driver_beats += 1
        self._study.set_user_attr(f"driver:{token}", self._driver_beats)

    def driver_beat(self, token: str) -> int | None:
        """Return the counter of the process that started the workers, None before its first."""
        return self._study.user_attrs.get(f"driver:{token}")

    def _lock_file(self, number: int) -> Path:
        return self._locks_dir / str(number)

    def _own(self, number: int, lock: BaseFileLock | None, directory: Path) -> None:
        token, trial_id = uuid4().hex, self._trial_id(number)
        self._locks[number], self._tokens[number] = lock, token
        attempt = worker_of(self._now(number)).get("attempt", 0) + 1
        file = self._lock_file(number) if lock is None else Path(lock.lock_file)  # that of a dead worker, if any
        # One attribute, because each is a transaction.
        self._set(trial_id, WORKER, {**this_worker(file, token), "attempt": attempt, "directory": str(directory)})
        count = iter(range(1, 10**9))
        self.heartbeat.add(number, lambda: self._set(trial_id, BEAT, f"{token} {next(count)}"))

    def _set(self, trial_id: int, key: str, value: Any) -> None:
        self._storage.set_trial_user_attr(trial_id, key, value)

    def _trial_id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._id, number)

    def _now(self, number: int) -> FrozenTrial:
        return self._storage.get_trial(self._trial_id(number))

    def attempt(self, trial: FrozenTrial) -> int:
        """Return how often the trial has been claimed or taken over."""
        return int(worker_of(self._now(trial.number)).get("attempt", 0))

    def is_ours(self, trial: FrozenTrial) -> bool:
        """Return whether this process trains the trial, without asking the storage."""
        return trial.number in self._locks

    def is_still_ours(self, trial: FrozenTrial) -> bool:
        """Return whether a trial of this process has not been taken over, by the storage."""
        now, token = self._now(trial.number), self._tokens.get(trial.number)
        return now.state == TrialState.RUNNING and worker_of(now).get("token") == token

    def tell(self, trial: FrozenTrial, outcome: Outcome) -> None:
        """Record how a trial of this process ended, unless another process has taken it over."""
        if self.is_still_ours(trial):
            try:
                for name, value in {**outcome.figures, "reason": outcome.reason}.items():
                    if value is not None:
                        self._set(self._trial_id(trial.number), name, value)
                self._study.tell(trial.number, outcome.values, state=TrialState[outcome.state], skip_if_finished=True)
            except UpdateFinishedTrialError:
                pass
        self.release(trial)

    def hold(self, trial: FrozenTrial, reason: str) -> None:
        """Record why a trial failed while it is not known yet whether all trials fail for this reason."""
        if self.is_still_ours(trial):
            self._set(self._trial_id(trial.number), HELD, reason)

    def release(self, trial: FrozenTrial) -> None:
        """Release a trial of this process, for another process or a later call to take over."""
        self.heartbeat.remove(trial.number)
        self._tokens.pop(trial.number, None)
        _release(self._locks.pop(trial.number, None))

    def close(self) -> None:
        """Release the trials of this process."""
        for trial in [trial for trial in self.trials() if self.is_ours(trial)]:
            self.release(trial)


def _release(lock: BaseFileLock | None) -> None:
    if lock is not None:
        lock.release()


def worker_of(trial: FrozenTrial) -> dict[str, Any]:
    """Return the worker that claimed a trial last, with the number of the attempt and its directory; empty before."""
    return trial.user_attrs.get(WORKER) or {}


def ended(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials that count: complete, pruned or failed."""
    return [trial for trial in trials if trial.state.is_finished()]

"""The study that all workers share: which trials there are, who works on which, and how each ended.

A trial's number is its place in the study, from 0, and never given twice. A candidate that does not fit never gets
one, so the sweep is over when the trials below `n_trials` have ended. A trial enters the study whole (parameters,
cost, model) and waiting; whoever sets it running first has it. A trial whose worker died stays running under its
number until another takes it over, so that nothing is counted twice.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import check_distribution_compatibility
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from cifar_exp.errors import UserError
from cifar_exp.runs.lock import Lock
from cifar_exp.sweep.search.proposals import Proposal
from cifar_exp.sweep.search.pruners import PRUNER
from cifar_exp.sweep.search.space import Space
from cifar_exp.sweep.settings import SweepSettings
from cifar_exp.sweep.study.heartbeat import Heart, lock_of_dead, may_live, revive, this_worker
from cifar_exp.sweep.study.storage import open_storage, sqlite_file
from cifar_exp.sweep.worker.outcome import Outcome

WORKER, DIRECTORY, ATTEMPT, SUSPECT = "worker", "directory", "attempt", "suspect"  # user attributes of a trial


class SharedStudy:
    """A study in a storage that others may work on at the same time."""

    def __init__(self, url: str, settings: SweepSettings, space: Space, sweep_dir: Path) -> None:
        """Opens the study, or begins it. Raises UserError where it was begun with something else in mind."""
        self._settings = settings
        self._space = space
        self._locks_dir = sweep_dir / ".locks"
        file = sqlite_file(url)
        self._turn_file = file.with_name(f".{file.name}.lock") if file else self._locks_dir / "study"
        self._locks: dict[int, Lock] = {}
        with self.turn():
            self._storage = open_storage(url)
            self._study = self._opened()
            self._check_same()
        self.heart = Heart(self._storage, settings.grace_period)

    def _opened(self) -> optuna.Study:
        settings = self._settings
        study = optuna.create_study(
            study_name=settings.study_name,
            storage=self._storage,
            directions=settings.directions,
            load_if_exists=True,
        )
        study.set_user_attr(PRUNER, settings.pruner)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # experimental
            study.set_metric_names(settings.metrics)
        return study

    def _check_same(self) -> None:
        settings, name = self._settings, self._settings.study_name
        directions = [direction.name.lower() for direction in self._study.directions]
        if directions != settings.directions:
            raise UserError(
                f"hydra.sweeper.direction={settings.directions}: the study '{name}' was begun with {directions}; "
                "give another study_name."
            )
        for trial in self.trials()[-1:]:
            for key, distribution in self._space.distributions.items():
                try:
                    if key in trial.distributions:
                        check_distribution_compatibility(trial.distributions[key], distribution)
                except ValueError:
                    raise UserError(
                        f"{key}: the study '{name}' was begun with other choices for it "
                        f"({trial.distributions[key]}); give another study_name."
                    ) from None

    @contextmanager
    def turn(self) -> Iterator[None]:
        """One process of this machine at a time proposes, so that it knows of the others' candidates."""
        with Lock(self._turn_file) as lock:
            lock.take(wait=True)
            yield

    def trials(self) -> list[FrozenTrial]:
        """All trials, in the order of their numbers."""
        return self._study.get_trials(deepcopy=False)

    def add(self, proposal: Proposal, model: dict[str, Any] | None) -> None:
        """Lets a candidate wait for a worker."""
        attrs = {
            **proposal.price.costs,
            "priced": proposal.priced,
            "within_budget": proposal.within_budget,
            **({"model": model} if model is not None else {}),
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
        """Sets a waiting trial running in `directory`; False if another process was first."""
        lock = Lock(self._locks_dir / str(trial.number))
        lock.share()
        self.heart.add(trial._trial_id)
        try:
            claimed = self._storage.set_trial_state_values(trial._trial_id, state=TrialState.RUNNING)
        except UpdateFinishedTrialError:
            claimed = False
        if not claimed:
            self.heart.remove(trial._trial_id)
            lock.close()
            return False
        self._own(trial, lock, directory)
        return True

    def take_over(self, trial: FrozenTrial, directory: Path) -> bool:
        """Makes a running trial ours if its worker is dead; False if it lives, or may live, or another was first."""
        worker = trial.user_attrs.get(WORKER)
        lock = lock_of_dead(worker)
        if lock is None:
            if not may_live(worker) or not revive(self._storage, trial._trial_id, self._settings.grace_period):
                return False
            lock = Lock(self._locks_dir / str(trial.number))
        elif self._now(trial).user_attrs.get(WORKER) != worker or self._now(trial).state != TrialState.RUNNING:
            lock.close()  # another process took it over between our two looks
            return False
        self._own(trial, lock, directory)
        lock.share()
        self.heart.add(trial._trial_id)
        return True

    def _own(self, trial: FrozenTrial, lock: Lock, directory: Path) -> None:
        self._locks[trial.number] = lock
        self._storage.set_trial_user_attr(trial._trial_id, WORKER, this_worker(lock.path))
        self._storage.set_trial_user_attr(trial._trial_id, DIRECTORY, str(directory))
        self._storage.set_trial_user_attr(trial._trial_id, ATTEMPT, self.attempt(trial) + 1)

    def _now(self, trial: FrozenTrial) -> FrozenTrial:
        return self._storage.get_trial(trial._trial_id)

    def attempt(self, trial: FrozenTrial) -> int:
        """How often the trial has been taken up; a job of an earlier attempt must not begin any more."""
        return int(self._now(trial).user_attrs.get(ATTEMPT, 0))

    def is_ours(self, trial: FrozenTrial) -> bool:
        """Whether this process works on it."""
        return trial.number in self._locks

    def tell(self, trial: FrozenTrial, outcome: Outcome) -> None:
        """Records how a trial of ours ended; what another process has told already stays."""
        try:
            for name, value in {**outcome.figures, "reason": outcome.reason}.items():
                if value is not None:
                    self._storage.set_trial_user_attr(trial._trial_id, name, value)
            state = TrialState[outcome.state]
            self._study.tell(trial.number, outcome.values, state=state, skip_if_finished=True)
        except UpdateFinishedTrialError:
            pass
        self.let_go(trial)

    def suspect(self, trial: FrozenTrial) -> None:
        """Gives up a trial whose launch ended without a result of it, together with others."""
        with suppress(UpdateFinishedTrialError):  # by another worker, which took it over meanwhile
            self._storage.set_trial_user_attr(trial._trial_id, SUSPECT, True)
        self.let_go(trial)

    def is_suspect(self, trial: FrozenTrial) -> bool:
        """Whether a launch with others has ended without a result of it."""
        return bool(self._now(trial).user_attrs.get(SUSPECT))

    def let_go(self, trial: FrozenTrial) -> None:
        """Gives a trial of ours up, for another process or a later call to take over."""
        self.heart.remove(trial._trial_id)
        lock = self._locks.pop(trial.number, None)
        if lock is not None:
            lock.close()

    def close(self) -> None:
        """Gives up what is still ours."""
        for trial in [trial for trial in self.trials() if self.is_ours(trial)]:
            self.let_go(trial)


def ended(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Those that count: complete, pruned or failed."""
    return [trial for trial in trials if trial.state.is_finished()]

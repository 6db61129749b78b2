"""The loop of a worker: take a trial over or propose a new one, train it, record how it ended."""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from random import SystemRandom
from typing import Any

from hydra.core.utils import JobReturn
from omegaconf import DictConfig, OmegaConf
from optuna.trial import FrozenTrial, TrialState

from cifar_exp.config.jobs import value_of
from cifar_exp.errors import TakenOverError, UserError
from cifar_exp.files import write_text
from cifar_exp.runs.directory import RunDir
from cifar_exp.sweep.search.proposals import Proposer
from cifar_exp.sweep.search.pruners import build_pruner
from cifar_exp.sweep.search.space import Candidate
from cifar_exp.sweep.settings import SweepSettings
from cifar_exp.sweep.study.recovery import recover
from cifar_exp.sweep.study.study import HELD, SharedStudy, ended
from cifar_exp.sweep.worker.jobs import Job, Jobs
from cifar_exp.sweep.worker.outcome import NO_VALUE, Outcome, is_common_cause, outcome_in, outcome_of

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0  # between looks at a study whose last trials are others'
SAME_FAILURES = 3  # first trials that fail for one reason, before the sweep stops

Launch = Callable[[DictConfig], JobReturn]


class Worker:
    """One worker of a budgeted sweep."""

    def __init__(self, settings: SweepSettings, proposer: Proposer, jobs: Jobs, launch: Launch) -> None:
        self._settings = settings
        self._proposer = proposer
        self.jobs = jobs
        self._launch = launch
        self._held: list[tuple[FrozenTrial, Outcome]] = []  # failures that all trials may share
        self.example: Candidate = {}  # a candidate within the budget
        self.returns: list[JobReturn] = []  # of each trial of this process, unless it is a run, which leaves its files
        self._exhausted = False

    def check(self) -> None:
        """Check the space and a job before any directory is made; raises UserError."""
        build_pruner(self._settings.pruner)
        self.example = self._proposer.check()
        self.jobs.check(self.example)

    def run(self, report: Callable[[Sequence[FrozenTrial]], None], is_wanted: Callable[[], bool]) -> None:
        """Work until the study has `n_trials` ended trials.

        Args:
            report: called with all trials whenever one may have ended.
            is_wanted: whether to take another trial.

        Raises:
            UserError: a cause that all trials share.
        """
        with ExitStack() as stack:
            study = self.study
            stack.callback(study.close)
            stack.enter_context(study.heartbeat)
            while is_wanted():
                job = self._next_job(study)
                if job is not None:
                    self._run_job(job, study)
                elif self._held:
                    self._record_held(study)
                elif self.is_over(study.trials()):
                    break
                else:
                    time.sleep(POLL_SECONDS)
                report(study.trials())

    def open(self) -> SharedStudy:
        """Open the study."""
        jobs, directory = self.jobs, self.jobs.sweep_dir
        directory.mkdir(parents=True, exist_ok=True)
        self.study = study = SharedStudy(jobs.url, self._settings, jobs.space, directory)
        with study.mutex():
            if jobs.are_runs:
                recover(study, directory, self._settings.study_name, jobs.space, self._proposer)
                jobs.check_unchanged(study.trials())
        write_text(RunDir(directory).multirun, OmegaConf.to_yaml(jobs.base))
        return study

    def is_over(self, trials: Sequence[FrozenTrial]) -> bool:
        """Return whether enough trials have ended, or all that the space has."""
        wanted = trials[: self._settings.n_trials]
        enough = len(wanted) == self._settings.n_trials or self._exhausted
        return enough and all(trial.state.is_finished() for trial in wanted)

    def _next_job(self, study: SharedStudy) -> Job | None:
        """Return a trial that is now ours: of a dead worker, waiting, or new."""
        with study.mutex():
            while True:
                trial, directory = self._taken(study)
                if trial is None:
                    return None
                if missing := self.jobs.missing_keys(trial):
                    reason = f"of another space: it has no {', '.join(missing)}"
                    study.tell(trial, Outcome("FAIL", reason=reason))
                    continue
                job = Job(trial, directory, study.attempt(trial))
                outcome = self._outcome_in(job) if self.jobs.is_attempted(job) else None
                if outcome is None or (outcome.state == "FAIL" and HELD in trial.user_attrs):
                    return job
                study.tell(trial, outcome)  # its worker died before it could record it

    def _taken(self, study: SharedStudy) -> tuple[FrozenTrial | None, Path]:
        """Return one trial that is now ours, in the state in which it was, and its directory."""
        trials = study.trials()
        for trial in trials[: self._settings.n_trials]:
            if trial.state.is_finished() or study.is_ours(trial):
                continue
            directory = self.jobs.directory(trial, trials)
            take = study.claim if trial.state == TrialState.WAITING else study.take_over
            if take(trial, directory):
                return trial, directory
        if len(trials) < self._settings.n_trials and not self._exhausted:
            proposal = self._proposer.propose(trials, self._seed(len(trials)))
            if proposal is not None:
                study.add(proposal)
                return self._taken(study)
            self._exhausted = True
            log.warning("The space is exhausted: all of its candidates within the budget have been tried.")
        return None, self.jobs.sweep_dir

    def _seed(self, number: int) -> int | None:
        """Another one for each trial, so that a sweep that was killed proposes what it would have proposed."""
        if self._settings.seed is None:
            return None
        alone = self.jobs.url.startswith("sqlite")  # else workers on other machines may ask at the same time
        return self._settings.seed * 1_000_003 + number + (0 if alone else SystemRandom().randrange(2**62))

    def _run_job(self, job: Job, study: SharedStudy) -> None:
        """Train a trial and record how it ended.

        Raises:
            UserError: the cause concerns all trials, which are left for a later call.
        """
        self.jobs.prepare(job)
        value: Any = None
        try:
            returned = self._launch(self.jobs.config(job))
            if not self.jobs.are_runs:
                self.returns.append(returned)
            value = value_of(returned)
        except Exception as error:  # of the launcher
            value = error
        if isinstance(value, TakenOverError):
            study.release(job.trial)
            return
        if is_common_cause(value):
            study.hold(job.trial, str(value))
            study.release(job.trial)
            raise UserError(f"The sweep stops, for all trials would fail (trial {job.trial.number}):\n{value}")
        outcome = self._outcome_in(job) or outcome_of(value, self._settings.metrics)
        self._record(job.trial, outcome, study)

    def _outcome_in(self, job: Job) -> Outcome | None:
        return outcome_in(job.directory, self._settings.metrics, job.trial.user_attrs)

    def _record(self, trial: FrozenTrial, outcome: Outcome, study: SharedStudy) -> None:
        """Record an outcome; the first failures are kept until a trial ends otherwise.

        Raises:
            UserError: the first trials have all failed for one reason.
        """
        is_first = not any(one.state.is_finished() for one in study.trials())
        if outcome.state != "FAIL" or not is_first:
            study.tell(trial, outcome)
            self._record_held(study)
            return
        reason = str(outcome.reason)
        study.hold(trial, reason)
        self._held.append((trial, outcome))
        waiting = [one for one in study.trials() if not one.state.is_finished()]
        reasons = [one.user_attrs[HELD] for one in waiting if HELD in one.user_attrs]
        if len(set(reasons)) > 1:
            self._record_held(study)
        elif len(reasons) >= SAME_FAILURES:
            for held, _ in self._held:
                study.release(held)
            raise UserError(f"The sweep stops, for its first {len(reasons)} trials failed for one reason:\n{reason}")

    def _record_held(self, study: SharedStudy) -> None:
        for trial, outcome in self._held:
            study.tell(trial, outcome)
        self._held.clear()

    def check_any(self) -> None:
        """Raise UserError where every trial has failed."""
        trials = self.study.trials()
        reasons = [str(trial.user_attrs.get("reason")) for trial in trials if trial.state == TrialState.FAIL]
        if not reasons or len(reasons) < len(ended(trials)):
            return
        if set(reasons) == {NO_VALUE}:
            log.warning("No trial can be judged: %s.", NO_VALUE)
            return
        common = max(set(reasons), key=reasons.count)
        raise UserError(f"All {len(reasons)} trials failed; {reasons.count(common)} of them with:\n{common}")

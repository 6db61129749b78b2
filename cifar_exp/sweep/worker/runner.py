"""The sweep's loop: take trials over, propose new ones, launch them, tell how they ended."""

import logging
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, redirect_stderr
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from random import SystemRandom
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig, OmegaConf, open_dict
from optuna.trial import FrozenTrial, TrialState

from cifar_exp.config.overrides import saved_overrides, written
from cifar_exp.errors import UserError
from cifar_exp.files import write_text
from cifar_exp.sweep.output.display import Display
from cifar_exp.sweep.output.outputs import Outputs
from cifar_exp.sweep.search.checks import check_choices, check_layers_exist
from cifar_exp.sweep.search.pricing import Pricer
from cifar_exp.sweep.search.proposals import Proposer
from cifar_exp.sweep.search.pruners import build_pruner
from cifar_exp.sweep.search.space import Space
from cifar_exp.sweep.settings import SweepSettings
from cifar_exp.sweep.study.recovery import recover
from cifar_exp.sweep.study.storage import masked
from cifar_exp.sweep.study.study import DIRECTORY, SharedStudy, ended
from cifar_exp.sweep.worker.outcome import NO_VALUE, Outcome, belongs_to, outcome_in, outcome_of

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0  # between looks at a study whose last trials are others'

Launch = Callable[[Sequence[Sequence[str]], int], Sequence[JobReturn]]


@dataclass(frozen=True)
class Job:
    """A trial of ours, its directory and its overrides."""

    trial: FrozenTrial
    directory: Path
    overrides: list[str]


class Sweep:
    """One worker of a budgeted sweep."""

    def __init__(
        self,
        settings: SweepSettings,
        space: Space,
        pricer: Pricer,
        base: DictConfig,
        compose: Callable[[list[str]], DictConfig],
        launch: Launch,
        url: str,
    ) -> None:
        self._settings = settings
        self._space = space
        self._pricer = pricer
        self._base = base
        self._compose = compose
        self._launch = launch
        self._url = url
        self._dir = Path(str(base.hydra.sweep.dir)).absolute()
        self._proposer = Proposer(space, pricer, settings)
        self._returns: list[Sequence[JobReturn]] = []
        self._exhausted = False

    def check(self) -> None:
        """Raises UserError where nothing fits, or where what fits is no config of a run; makes no directory."""
        build_pruner(self._settings.pruner)
        check_layers_exist(self._space, self._compose)
        valid = self._proposer.valid()
        if valid is not None:
            check_choices(self._space, self._pricer, valid)
        candidate = self._proposer.check()
        cfg = self._compose(self._space.overrides(candidate))
        if self._is_ours:
            from cifar_exp.checks import check_train

            check_train(cfg)

    def run(self) -> list[Sequence[JobReturn]]:
        """Works until the study has `n_trials` ended trials; returns what each batch of this process returned.

        Raises UserError where every trial has failed.
        """
        study = self._open()
        outputs = Outputs(self._dir, self._settings, self._space, self._base.get("budget") or {})
        with ExitStack() as stack:
            stack.callback(study.close)
            stack.enter_context(study.heart)
            display = stack.enter_context(Display(self._settings, study.trials))
            while True:
                jobs = self._next_jobs(study)
                if jobs:
                    self._run_jobs(jobs, study)
                elif self._is_over(study.trials()):
                    break
                else:
                    time.sleep(POLL_SECONDS)
                outputs.update(study.trials())
                display.update()
            display.finish()
        outputs.finish(study.trials())
        self._check_any(study.trials())
        return self._returns

    def _open(self) -> SharedStudy:
        """The study; a directory made for it goes again where the study cannot be had."""
        is_new = not self._dir.exists()
        self._dir.mkdir(parents=True, exist_ok=True)
        try:
            study = SharedStudy(self._url, self._settings, self._space, self._dir)
            with study.turn():
                if self._is_ours:
                    recover(study, self._dir, self._settings.study_name, self._space, self._proposer, self._pricer)
        except UserError:
            if is_new:
                shutil.rmtree(self._dir, ignore_errors=True)
            raise
        write_text(self._dir / "multirun.yaml", OmegaConf.to_yaml(self._base))
        return study

    @property
    def _is_ours(self) -> bool:
        """Whether the application is `cifar-exp train` rather than any other that uses the sweeper."""
        return "trial" in self._base and "model" in self._base

    def _is_over(self, trials: Sequence[FrozenTrial]) -> bool:
        wanted = trials[: self._settings.n_trials]
        enough = len(wanted) == self._settings.n_trials or self._exhausted
        return enough and all(trial.state.is_finished() for trial in wanted)

    def _next_jobs(self, study: SharedStudy) -> list[Job]:
        """Up to `n_jobs` trials that are now ours: of dead workers, waiting, or new."""
        jobs: list[Job] = []
        with study.turn():
            while len(jobs) < self._settings.n_jobs:
                trial, directory = self._taken(study)
                if trial is None:
                    break
                if study.is_suspect(trial) and jobs:  # it may have taken others with it: now alone
                    study.let_go(trial)
                    break
                if self._lacking(trial):
                    reason = f"of another space: it has no {', '.join(self._lacking(trial))}"
                    study.tell(trial, Outcome("FAIL", reason=reason))
                    continue
                job = self._job(trial, directory, study.attempt(trial))
                outcome = outcome_in(directory, self._settings.metrics) if self._belongs(job) else None
                if outcome is not None:  # its worker died before it could tell
                    study.tell(trial, outcome)
                else:
                    jobs.append(job)
                    if study.is_suspect(trial):
                        break
        return jobs

    def _taken(self, study: SharedStudy) -> tuple[FrozenTrial | None, Path]:
        """One trial that is now ours, in the state in which it was, and its directory."""
        trials = study.trials()
        for trial in trials[: self._settings.n_trials]:
            if trial.state.is_finished() or study.is_ours(trial):
                continue
            directory = self._directory(trial)
            take = study.claim if trial.state == TrialState.WAITING else study.take_over
            if take(trial, directory):
                return trial, directory
        if len(trials) < self._settings.n_trials and not self._exhausted:
            proposal = self._proposer.propose(trials, self._seed(len(trials)))
            if proposal is not None:
                study.add(proposal, self._pricer.model(proposal.candidate))
                return self._taken(study)
            self._exhausted = True
            log.warning("The space is exhausted: all of its candidates within the budget have been tried.")
        return None, self._dir

    def _seed(self, number: int) -> int | None:
        """Another one for each trial, so that a sweep that was killed proposes what it would have proposed."""
        if self._settings.seed is None:
            return None
        alone = self._url.startswith("sqlite")  # else workers on other machines may ask at the same time
        return self._settings.seed * 1_000_003 + number + (0 if alone else SystemRandom().randrange(2**62))

    def _directory(self, trial: FrozenTrial) -> Path:
        """Where the trial was begun, if that can be reached from here, else its own place in our directory."""
        begun = trial.user_attrs.get(DIRECTORY)
        if begun and belongs_to(Path(begun), self._settings.study_name, trial.number):
            return Path(begun)
        subdir = OmegaConf.to_container(self._base.hydra.sweep, resolve=False)["subdir"]  # type: ignore[index,call-overload]
        if subdir in ("${hydra.job.num}", "${hydra:job.num}") or self._lacking(trial):
            return self._dir / str(trial.number)
        cfg = self._compose(self._trial_overrides(trial))
        with open_dict(cfg):
            cfg.hydra.job.num, cfg.hydra.job.id = trial.number, str(trial.number)
        return self._dir / str(cfg.hydra.sweep.subdir)

    def _lacking(self, trial: FrozenTrial) -> list[str]:
        """The swept keys of which the trial knows nothing: it was put into the study by other means."""
        return sorted(self._space.swept.keys() - trial.params.keys())

    def _job(self, trial: FrozenTrial, directory: Path, attempt: int) -> Job:
        if directory.is_relative_to(self._dir):
            place = [f"hydra.sweep.subdir={written(str(directory.relative_to(self._dir)))}"]
        else:
            place = [
                f"hydra.sweep.dir={written(str(directory.parent))}",
                f"hydra.sweep.subdir={written(directory.name)}",
            ]
        return Job(trial, directory, [*self._trial_overrides(trial, attempt), *place])

    def _trial_overrides(self, trial: FrozenTrial, attempt: int = 0) -> list[str]:
        overrides = self._space.overrides(trial.params)
        if not self._is_ours:
            return overrides
        name, number = self._settings.study_name, trial.number
        about = {"storage": masked(self._url), "study_name": name, "number": number, "attempt": attempt}
        defaults = {"name": f"{name}-{number}", "trainer.enable_progress_bar": False}
        given = self._space.fixed_keys
        return [
            *(f"{key}={written(value)}" for key, value in defaults.items() if key not in given),
            *overrides,
            f"trial={written(about)}",
        ]

    def _run_jobs(self, jobs: Sequence[Job], study: SharedStudy) -> None:
        for job in jobs:
            self._clear(job)
        error: Exception | None = None
        returns: Sequence[JobReturn] = []
        try:
            returns = self._launch([job.overrides for job in jobs], jobs[0].trial.number)
        except Exception as raised:  # of the launcher: a worker process that was killed, a queue that refused
            error = raised
        self._returns.append(returns)
        for index, job in enumerate(jobs):
            outcome = outcome_in(job.directory, self._settings.metrics)
            if outcome is None and error is not None and len(jobs) > 1:
                study.suspect(job.trial)  # whose fault it was is not known, and others may be at work still
                continue
            if outcome is None:
                outcome = outcome_of(error or _value(returns[index]), self._settings.metrics)
            study.tell(job.trial, outcome)

    def _clear(self, job: Job) -> None:
        """Makes room for a run from the start; one with a checkpoint goes on from there."""
        if not self._is_ours:
            return
        is_run = (job.directory / "result.json").exists() or (job.directory / "checkpoints").exists()
        if is_run and not self._belongs(job):
            raise UserError(
                f"{job.directory}: holds a run that is not trial {job.trial.number} of the study "
                f"'{self._settings.study_name}'.\nChoose another hydra.sweep.dir or hydra.sweeper.study_name."
            )
        if not (job.directory / "checkpoints" / "last.ckpt").is_file():
            shutil.rmtree(job.directory, ignore_errors=True)

    def _belongs(self, job: Job) -> bool:
        """Whether the job's directory holds an earlier attempt at the same trial."""
        if not belongs_to(job.directory, self._settings.study_name, job.trial.number):
            return False
        saved = saved_overrides(job.directory / ".hydra" / "overrides.yaml")
        return set(self._space.overrides(job.trial.params)) <= set(saved)

    def _check_any(self, trials: Sequence[FrozenTrial]) -> None:
        reasons = [str(trial.user_attrs.get("reason")) for trial in trials if trial.state == TrialState.FAIL]
        if not reasons or len(reasons) < len(ended(trials)):
            return
        if set(reasons) == {NO_VALUE}:
            log.warning("No trial can be judged: %s.", NO_VALUE)
            return
        common = max(set(reasons), key=reasons.count)
        raise UserError(f"All {len(reasons)} trials failed; {reasons.count(common)} of them with:\n{common}")


def _value(job_return: JobReturn) -> Any:
    """What the job returned, or the exception that it raised."""
    if job_return.status == JobStatus.COMPLETED:
        return job_return.return_value
    try:
        with redirect_stderr(StringIO()):  # Hydra prints the overrides
            return job_return.return_value
    except BaseException as error:
        return error

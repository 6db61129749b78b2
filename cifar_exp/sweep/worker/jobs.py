"""A trial as a job of Hydra: its directory, its overrides, and what an earlier attempt left in the directory."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from optuna.trial import FrozenTrial

from cifar_exp.config.jobs import set_hydra
from cifar_exp.config.messages import listing
from cifar_exp.config.overrides import written
from cifar_exp.config.parse import parse, unresolved
from cifar_exp.config.schema import TrainConfig
from cifar_exp.errors import UserError
from cifar_exp.runs.directory import RunDir
from cifar_exp.runs.saved import FREE, load_config, saved_overrides
from cifar_exp.sweep.search.space import Candidate, Space
from cifar_exp.sweep.study.identity import GIVE_ANOTHER, MAY_CHANGE
from cifar_exp.sweep.study.storage import masked
from cifar_exp.sweep.study.study import worker_of
from cifar_exp.sweep.worker.outcome import belongs_to
from cifar_exp.training.train import differences

BY_NUMBER = ("${hydra.job.num}", "${hydra:job.num}")  # the usual subdirectory


@dataclass(frozen=True)
class Job:
    """A trial of this worker."""

    trial: FrozenTrial
    directory: Path
    attempt: int  # from 1


@dataclass(frozen=True)
class Jobs:
    """Make jobs of the trials of one study.

    Args:
        space: what is swept, and the fixed overrides.
        base: the config of the sweep.
        compose: from overrides to the config of a job.
        study_name: with the number, what identifies a trial.
        url: the study's storage, of which a job's config contains the masked form.
    """

    space: Space
    base: DictConfig
    compose: Callable[[list[str]], DictConfig]
    study_name: str
    url: str

    @property
    def sweep_dir(self) -> Path:
        """The directory of the sweep."""
        return Path(str(self.base.hydra.sweep.dir)).absolute()

    @property
    def are_runs(self) -> bool:
        """Return whether the application is `cifar-exp train` rather than another one that uses the sweeper."""
        return "trial" in self.base and "model" in self.base

    def directory(self, trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> Path:
        """Return where a trial was started, if this process can reach it, else its place in the sweep's directory.

        Args:
            trial: one of `trials`.
            trials: all of the study; the number is appended to a name that another one of them has already.
        """
        started = worker_of(trial).get("directory")
        if started and belongs_to(Path(started), self.study_name, trial.number):
            return Path(started)
        if self.missing_keys(trial):
            return self.sweep_dir / str(trial.number)
        own = self.sweep_dir / self._subdir(trial.params, trial.number)
        others = (worker_of(other).get("directory") for other in trials if other.number != trial.number)
        return own.with_name(f"{own.name}-{trial.number}") if str(own) in others else own

    def check(self, candidate: Candidate) -> None:
        """Check the job of a candidate.

        Raises:
            UserError: it cannot be composed or trained, its directory has no name, or contains another run.
        """
        cfg = self.compose(self._overrides(candidate, 0))
        first = self.sweep_dir / self._subdir(candidate, 0)
        if first.name == "0" and RunDir(first).trace is not None and not belongs_to(first, self.study_name, 0):
            raise self._not_ours(first, 0)
        if self.are_runs:
            from cifar_exp.checks import check_train

            check_train(cfg, of_several=True)

    def _subdir(self, candidate: Candidate, number: int) -> str:
        """Return the name that the user's `hydra.sweep.subdir` gives, without the sweep's own overrides."""
        subdir = OmegaConf.to_container(self.base.hydra.sweep, resolve=False)["subdir"]  # type: ignore[index,call-overload]
        if subdir in BY_NUMBER:
            return str(number)
        kept = OmegaConf.to_container(self.base.hydra.job.config.override_dirname.exclude_keys)
        keys = [one.partition("=")[0] for one in self._own_overrides(number)]
        exclude = f"hydra.job.config.override_dirname.exclude_keys={written([*kept, *keys])}"  # type: ignore[misc]
        cfg = self.compose([*self._overrides(candidate, number), exclude])
        set_hydra(cfg, {"job.num": number, "job.id": str(number)})
        try:
            return str(cfg.hydra.sweep.subdir)
        except OmegaConfBaseException as error:
            raise unresolved(error, "hydra.sweep.subdir") from None

    def missing_keys(self, trial: FrozenTrial) -> list[str]:
        """Return the swept keys without a value in a trial that was put into the study by other means."""
        return sorted(self.space.swept.keys() - trial.params.keys())

    def config(self, job: Job) -> DictConfig:
        """Return the config of a job, its directory in the sweep's or elsewhere."""
        number = job.trial.number
        cfg = self.compose(self._overrides(job.trial.params, number, job.attempt))
        sweep_dir = self.sweep_dir if job.directory.is_relative_to(self.sweep_dir) else job.directory.parent
        subdir = str(job.directory.relative_to(sweep_dir))
        changes = {"job.num": number, "job.id": str(number), "sweep.dir": str(sweep_dir), "sweep.subdir": subdir}
        set_hydra(cfg, changes)
        return cfg

    def check_unchanged(self, trials: Sequence[FrozenTrial]) -> None:
        """Check that a trial that has been started would be trained with the same config now.

        Raises:
            UserError: what differs: a file that the config is composed of has been edited since.
        """
        for trial in trials:
            run = RunDir(Path(worker_of(trial).get("directory", "")))
            if belongs_to(run.path, self.study_name, trial.number) and not self.missing_keys(trial):
                config = parse(TrainConfig, self.compose(self._overrides(trial.params, trial.number)))
                saved, now = (one.model_dump(mode="json") for one in (load_config(run), config))
                changed = list(differences(saved, now, (*FREE, *MAY_CHANGE)))
                if changed:
                    raise UserError(
                        f"{run.path}: a trial of the study '{self.study_name}' that had other settings:\n"
                        f"{listing(changed)}\n{GIVE_ANOTHER}"
                    )
                return

    def is_attempted(self, job: Job) -> bool:
        """Return whether the job's directory contains an earlier attempt at the same trial."""
        if not belongs_to(job.directory, self.study_name, job.trial.number):
            return False
        saved = {one.lstrip("+") for one in saved_overrides(RunDir(job.directory).overrides)}
        return {one.lstrip("+") for one in self.space.overrides(job.trial.params)} <= saved

    def prepare(self, job: Job) -> None:
        """Empty the directory of a run that starts anew; one with a checkpoint is continued.

        Raises:
            UserError: the directory contains another run.
        """
        if not self.are_runs:
            return
        if RunDir(job.directory).trace is not None and not self.is_attempted(job):
            raise self._not_ours(job.directory, job.trial.number)
        if not RunDir(job.directory).last.is_file():
            shutil.rmtree(job.directory, ignore_errors=True)

    def _not_ours(self, directory: Path, number: int) -> UserError:
        return UserError(
            f"{directory}: already contains a run that is not trial {number} of the study '{self.study_name}'.\n"
            "Choose another hydra.sweep.dir or hydra.sweeper.study_name."
        )

    def _overrides(self, candidate: Candidate, number: int, attempt: int = 0) -> list[str]:
        """Return the user's overrides, between those that they may replace and the one that names the trial."""
        own = self._own_overrides(number, attempt)
        return [*own[:-1], *self.space.overrides(candidate), *own[-1:]]

    def _own_overrides(self, number: int, attempt: int = 0) -> list[str]:
        if not self.are_runs:
            return []
        name = self.study_name
        about = {"storage": masked(self.url), "study_name": name, "number": number, "attempt": attempt}
        defaults = {"name": f"{name}-{number}", "trainer.enable_progress_bar": False}
        given = self.space.fixed_values
        return [
            *(f"{key}={written(value)}" for key, value in defaults.items() if key not in given),
            f"trial={written(about)}",
        ]

"""Runs checked jobs the way Hydra does: directory, log, callbacks, sweeper and launcher."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.core.utils import configure_log, run_job
from hydra.errors import InstantiationException
from hydra.types import HydraContext, TaskFunction
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from cifar_exp.cli.tables import note
from cifar_exp.config.composition_errors import composition_error
from cifar_exp.config.jobs import JobLoader, set_hydra, value_of
from cifar_exp.errors import RunFailedError, UserError
from cifar_exp.files import write_text
from cifar_exp.process import is_first_process
from cifar_exp.runs.directory import RunDir
from cifar_exp.runs.new_directory import undone_on_error


@dataclass(frozen=True)
class Job:
    """One job of a plain `-m`, composed and checked."""

    overrides: list[str]  # without those of Hydra's own node
    config: DictConfig
    checked: Any  # what the command's check makes of the config
    directory: Path
    new: list[Path]  # see `undone_on_error`


OF_PLUGINS = (RuntimeError, ImportError, TypeError)  # what Hydra raises for a plugin that is none


@contextmanager
def hydras_settings(*more: type[Exception]) -> Iterator[None]:
    """Turn what Hydra raises for its own settings, such as a class or a log that is not there, into a UserError."""
    errors: tuple[type[Exception], ...] = (InstantiationException, ValueError, *more)
    try:
        yield
    except errors as error:
        raise UserError(f"hydra: {composition_error(error)}") from None


class Callbacks:
    """The callbacks of `hydra.callbacks` as one: each event goes to all of them."""

    def __init__(self, cfg: DictConfig) -> None:
        self.all = [instantiate(one) for one in (cfg.hydra.callbacks or {}).values()]

    def __getattr__(self, event: str) -> Callable[..., None]:
        if not event.startswith("on_"):
            raise AttributeError(event)

        def notify(**arguments: Any) -> None:
            for callback in self.all:
                getattr(callback, event)(**arguments)

        return notify


def run_one(cfg: DictConfig, task: TaskFunction, directory: Path) -> None:
    """Run `task` in `directory`, as Hydra runs a single job; raises what `task` raises."""
    changes: dict[str, Any] = {"run.dir": str(directory)}
    if not is_first_process():
        changes["job_logging"] = cfg.hydra.hydra_logging  # the run's log is the first process's
    set_hydra(cfg, changes)
    errors: list[Exception] = []

    def kept(job: DictConfig) -> Any:
        try:
            return task(job)
        except Exception as error:
            errors.append(error)  # Hydra would print the overrides before raising it
            raise

    callbacks = _set_up(cfg)
    callbacks.on_run_start(config=cfg, config_name=cfg.hydra.job.config_name)
    with hydras_settings():  # what the task raises is kept
        done = run_job(
            task_function=kept,
            config=cfg,
            job_dir_key="hydra.run.dir",
            job_subdir_key=None,
            hydra_context=HydraContext(GlobalHydra.instance().config_loader(), callbacks),  # type: ignore[arg-type]
        )
    callbacks.on_run_end(config=cfg, config_name=cfg.hydra.job.config_name, job_return=done)
    if errors:
        raise errors[0]


def _set_up(cfg: DictConfig) -> Callbacks:
    """Configure Hydra's own log; return the callbacks."""
    with hydras_settings():
        configure_log(cfg.hydra.hydra_logging, cfg.hydra.verbose)
        return Callbacks(cfg)


def run_jobs(cfg: DictConfig, task: TaskFunction, jobs: Sequence[Job], loader: JobLoader) -> None:
    """Run the jobs of a plain `-m` with the config's launcher; raises what the first job that failed has raised.

    A job that ends in a UserError leaves no directory of its own.
    """
    batch = cfg.hydra.sweeper.get("max_batch_size") or len(jobs)
    with _multirun(cfg, loader) as context:
        with hydras_settings(*OF_PLUGINS):
            launcher = Plugins.instance().instantiate_launcher(config=cfg, hydra_context=context, task_function=task)
        write_text(RunDir(Path(cfg.hydra.sweep.dir)).multirun, OmegaConf.to_yaml(cfg))
        for first in range(0, len(jobs), batch):
            some = jobs[first : first + batch]
            with ExitStack() as stack:
                for job in some:
                    stack.enter_context(
                        undone_on_error(job.directory, job.new, lambda directory: RunDir(directory).trace is not None)
                    )
                with hydras_settings():
                    ended = launcher.launch([job.overrides for job in some], initial_job_idx=first)
                for job, error in zip(some, map(value_of, ended), strict=True):
                    if isinstance(error, Exception):
                        if not isinstance(error, UserError | RunFailedError):
                            note(f"The job with {' '.join(job.overrides)} failed:")
                        raise error


def run_sweeper(cfg: DictConfig, task: TaskFunction, overrides: Sequence[str], loader: JobLoader) -> None:
    """Run the sweep that the config's sweeper makes of the overrides."""
    with _multirun(cfg, loader) as context:
        with hydras_settings(*OF_PLUGINS):
            sweeper = Plugins.instance().instantiate_sweeper(config=cfg, hydra_context=context, task_function=task)
        sweeper.sweep(arguments=list(overrides))


@contextmanager
def _multirun(cfg: DictConfig, loader: JobLoader) -> Iterator[HydraContext]:
    """Notify the callbacks before and after; yield what sweepers and launchers work with."""
    callbacks = _set_up(cfg)
    callbacks.on_multirun_start(config=cfg, config_name=cfg.hydra.job.config_name)
    yield HydraContext(loader, callbacks)  # type: ignore[arg-type]
    callbacks.on_multirun_end(config=cfg, config_name=cfg.hydra.job.config_name)

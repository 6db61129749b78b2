"""Runs checked jobs the way Hydra does: directory, log, callbacks, sweeper and launcher."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.core.utils import configure_log, run_job
from hydra.types import HydraContext, TaskFunction
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from cifar_exp.process import is_first_process


class Callbacks:
    """The callbacks of `hydra.callbacks` as one: each event goes to all of them."""

    def __init__(self, cfg: DictConfig) -> None:
        self.all = [instantiate(one) for one in (cfg.hydra.callbacks or {}).values()]

    def __getattr__(self, event: str) -> Callable[..., None]:
        if not event.startswith("on_"):
            raise AttributeError(event)
        return partial(self.notify, event)

    def notify(self, event: str, **arguments: Any) -> None:
        """Report `event` to every callback."""
        for callback in self.all:
            getattr(callback, event)(**arguments)


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

    configure_log(cfg.hydra.hydra_logging, cfg.hydra.verbose)
    callbacks = Callbacks(cfg)
    callbacks.on_run_start(config=cfg, config_name=cfg.hydra.job.config_name)
    done = run_job(
        task_function=kept,
        config=cfg,
        job_dir_key="hydra.run.dir",
        job_subdir_key=None,
        hydra_context=_context(callbacks),
    )
    callbacks.on_run_end(config=cfg, config_name=cfg.hydra.job.config_name, job_return=done)
    if errors:
        raise errors[0]


def run_several(cfg: DictConfig, task: TaskFunction, overrides: Sequence[str]) -> None:
    """Run the jobs of `overrides` with the config's sweeper and launcher, as Hydra does."""
    configure_log(cfg.hydra.hydra_logging, cfg.hydra.verbose)
    callbacks = Callbacks(cfg)
    callbacks.on_multirun_start(config=cfg, config_name=cfg.hydra.job.config_name)
    sweeper = Plugins.instance().instantiate_sweeper(config=cfg, hydra_context=_context(callbacks), task_function=task)
    sweeper.sweep(arguments=list(overrides))
    callbacks.on_multirun_end(config=cfg, config_name=cfg.hydra.job.config_name)


def set_hydra(cfg: DictConfig, changes: Mapping[str, Any]) -> None:
    """Set keys of the config's own Hydra node, which is read-only once it is in use."""
    with read_write(cfg.hydra), open_dict(cfg.hydra):
        for key, value in changes.items():
            OmegaConf.update(cfg.hydra, key, value, merge=False)


def _context(callbacks: Callbacks) -> HydraContext:
    loader = GlobalHydra.instance().config_loader()
    return HydraContext(config_loader=loader, callbacks=callbacks)  # type: ignore[arg-type]

"""Between Hydra's plugin interface and the sweep: what Hydra hands over, made into the sweep's parts."""

import logging
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from cifar_exp.config.compose import COMPOSITION_ERRORS, composition_error
from cifar_exp.config.overrides import written
from cifar_exp.errors import UserError
from cifar_exp.sweep.search.pricing import Free, PlanPricer, Pricer
from cifar_exp.sweep.search.space import Space, build_space
from cifar_exp.sweep.settings import parse_settings
from cifar_exp.sweep.study.storage import absolute_url, default_url, masked
from cifar_exp.sweep.worker.runner import Sweep
from cifar_exp.sweep.worker.task import TrialTask

log = logging.getLogger(__name__)

ON_THIS_MACHINE = ("joblib", "ray_launcher.RayLauncher", "submitit_launcher.LocalLauncher")  # launchers


class Adapter:
    """One sweep as Hydra's plugin sees it."""

    def __init__(
        self, settings: dict[str, Any], hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        plain = {key: OmegaConf.to_container(v) if OmegaConf.is_config(v) else v for key, v in settings.items()}
        self._settings = parse_settings(plain)
        self._loader = hydra_context.config_loader
        self._sweep_dir = Path(str(config.hydra.sweep.dir)).absolute()
        storage = self._settings.storage
        self._url = default_url(self._sweep_dir) if storage is None else absolute_url(storage)
        self._config = _without_password(config, storage)
        worker = (socket.gethostname(), os.getpid())
        task = TrialTask(task_function, self._url, self._settings.grace_period, self._threads(), worker)
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task, config=self._launcher_config()
        )

    def sweep(self, arguments: list[str]) -> list[Sequence[JobReturn]]:
        """Runs the sweep; raises UserError for a space in which nothing fits."""
        params = [f"{key}={_expression(value)}" for key, value in (self._settings.params or {}).items()]
        parser = OverridesParser.create(config_loader=self._loader)
        space = build_space(parser.parse_overrides([*params, *arguments]))
        pricer = self._pricer(space)
        sweep = Sweep(self._settings, space, pricer, self._config, self._compose, self._launch, self._url)
        sweep.check()
        try:
            return sweep.run()
        except KeyboardInterrupt:
            again = f" Go on with it: the same command with hydra.sweep.dir={self._sweep_dir}"
            raise KeyboardInterrupt(again) from None

    def _pricer(self, space: Space) -> Pricer:
        if all(key in self._config for key in ("model", "data", "budget")):
            return PlanPricer(space, self._compose, self._loader.list_groups(""))
        return Free()

    def _compose(self, overrides: list[str]) -> DictConfig:
        """The config of a job, Hydra's own node included; raises UserError for overrides that do not fit it."""
        try:
            return self._loader.load_sweep_config(self._config, overrides)
        except COMPOSITION_ERRORS as error:
            raise UserError(composition_error(error)) from None

    def _launch(self, overrides: Sequence[Sequence[str]], first: int) -> Sequence[JobReturn]:
        """Hands a batch to the launcher, whose own messages the sweep's table makes superfluous."""
        loggers = [logging.getLogger(name) for name in ("hydra", "hydra_plugins")]
        levels = [logger.level for logger in loggers]
        try:
            for logger in loggers:
                logger.setLevel(logging.INFO if self._config.hydra.verbose else logging.WARNING)
            return self.launcher.launch(overrides, initial_job_idx=first)
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)

    def _threads(self) -> int | None:
        """One core a trial where several run at once on one machine."""
        target = str(self._config.hydra.launcher.get("_target_"))
        at_once = self._settings.n_jobs > 1 and any(name in target for name in ON_THIS_MACHINE)
        if self._settings.n_jobs > 1 and target.endswith("BasicLauncher"):
            log.warning(
                "n_jobs=%d: Hydra's basic launcher runs one job after the other; hydra/launcher=joblib several.",
                self._settings.n_jobs,
            )
        return 1 if at_once else None

    def _launcher_config(self) -> DictConfig:
        """Joblib would take every core for itself; it gets as many jobs at once as the sweep has."""
        launcher = self._config.hydra.launcher
        if "joblib" in str(launcher.get("_target_")) and launcher.get("n_jobs") == -1:
            with open_dict(launcher):
                launcher.n_jobs = self._settings.n_jobs
        return self._config


def _expression(value: Any) -> str:
    """A sweep expression as it stands in the file, or a plain value."""
    return value if isinstance(value, str) else written(value)


def _without_password(config: DictConfig, storage: str | None) -> DictConfig:
    """`config` with the storage's password masked wherever Hydra would write it down."""
    config = config.copy()
    if storage is None or masked(storage) == storage:
        return config
    with open_dict(config):
        config.hydra.sweeper.storage = masked(storage)
        kept = [str(one) for one in config.hydra.overrides.hydra]
        config.hydra.overrides.hydra = [
            f"hydra.sweeper.storage={written(masked(storage))}" if "hydra.sweeper.storage=" in one else one
            for one in kept
        ]
    return config

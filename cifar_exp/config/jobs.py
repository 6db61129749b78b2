"""The configs of the jobs of a multirun: Hydra composes one for each choice of groups, and values are set in copies.

To compose a config takes a third of a second, most of it for reading YAML; to copy one takes a tenth of that.
"""

from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr
from copy import deepcopy
from io import StringIO
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from cifar_exp.config.compose import is_composed, set_values
from cifar_exp.config.composition_errors import COMPOSITION_ERRORS, composition_error, option_error
from cifar_exp.config.messages import ConfigError
from cifar_exp.config.overrides import lines, parse_overrides

TEMPLATES = 16  # composed configs that are kept


class JobLoader:
    """Hydra's config loader as the sweeper and the launcher of one multirun see it.

    A job is composed as a single run is. What is kept is left out where a launcher pickles the loader.
    """

    def __init__(self, loader: ConfigLoader) -> None:
        self._loader = loader
        self._templates: dict[tuple[str, ...], DictConfig] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return JobLoader, (self._loader,)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def composed(self, master: DictConfig, overrides: Sequence[Override]) -> DictConfig:
        """Return Hydra's own config of a job: of the overrides that are for Hydra to compose.

        Raises:
            ConfigError: an override of a group that chooses no option of it.
        """
        key = tuple(lines(overrides))
        if key not in self._templates:
            if errors := [error for one in overrides if (error := option_error(one, self._loader))]:
                raise ConfigError(errors)
            if len(self._templates) >= TEMPLATES:
                self._templates.pop(next(iter(self._templates)))  # the oldest
            self._templates[key] = self._loader.load_sweep_config(master, list(key))
        cfg = deepcopy(self._templates[key])
        OmegaConf.copy_cache(from_config=master, to_config=cfg)
        return cfg

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: Sequence[str]) -> DictConfig:
        """Return the config of a job. Raises ConfigError where its overrides do not fit the config."""
        overrides = parse_overrides(sweep_overrides)
        try:
            cfg = self.composed(master_config, [one for one in overrides if is_composed(one, self._loader)])
        except COMPOSITION_ERRORS as error:
            raise ConfigError([composition_error(error)]) from None
        if errors := set_values(cfg, overrides, self._loader):
            raise ConfigError(errors)
        return cfg


def set_hydra(cfg: DictConfig, changes: Mapping[str, Any]) -> None:
    """Set keys of the config's own Hydra node, which is read-only once it is in use."""
    with read_write(cfg.hydra), open_dict(cfg.hydra):
        for key, value in changes.items():
            OmegaConf.update(cfg.hydra, key, value, merge=False)


def value_of(job_return: JobReturn) -> Any:
    """Return what a job returned, or the exception that it raised."""
    if job_return.status == JobStatus.COMPLETED:
        return job_return.return_value
    try:
        with redirect_stderr(StringIO()):  # Hydra prints the overrides
            return job_return.return_value
    except BaseException as error:
        return error

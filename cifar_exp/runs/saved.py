"""What a run's `.hydra` directory contains, read back: the config, Hydra's settings and the overrides."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError

from cifar_exp.config.parse import parse
from cifar_exp.config.schema import TrainConfig
from cifar_exp.errors import UserError
from cifar_exp.files import nearest_path, write_text
from cifar_exp.runs.directory import RunDir, reason

if TYPE_CHECKING:
    from omegaconf import DictConfig

T = TypeVar("T")


class _Runtime(BaseModel):
    choices: dict[str, Any] = {}


class _Sweep(BaseModel):
    dir: str = ""


class SavedHydra(BaseModel):
    """Hydra's settings of a run, as far as anything here reads them; the defaults where Python started the run."""

    mode: str | None = None  # RUN | MULTIRUN
    runtime: _Runtime = _Runtime()
    sweep: _Sweep = _Sweep()

    @property
    def choices(self) -> Mapping[str, Any]:
        """The chosen option of each config group."""
        return self.runtime.choices


class _HydraFile(BaseModel):
    hydra: SavedHydra = SavedHydra()


def saved_config(directory: Path) -> DictConfig:
    """Return the config that a run's directory contains, as it was written. Raises UserError where there is none."""
    from omegaconf import DictConfig

    if not directory.is_dir():
        raise UserError(f"{directory}: no such directory.{nearest_path(directory)}")
    file = RunDir(directory).config
    if not file.is_file():
        runs = sorted(path for path in directory.iterdir() if RunDir(path).config.is_file())
        hint = f" Did you mean '{runs[-1]}'?" if runs else ""
        raise UserError(f"{directory}: not the directory of a run; expected {file.relative_to(directory)} in it.{hint}")
    config = load_yaml(file)
    if not isinstance(config, DictConfig):
        raise UserError(f"{file}: damaged (expected the config of a run).")
    return config


def load_config(files: RunDir) -> TrainConfig:
    """Return the config that a run's directory contains. Raises UserError where there is none, or an invalid one."""
    saved = saved_config(files.path)
    try:
        return parse(TrainConfig, saved)
    except UserError as error:
        raise UserError(f"{files.config}:\n{error}") from None


def save_config(files: RunDir, config: TrainConfig) -> None:
    """Write a run's config with every value, unless its directory contains an equal one."""
    document = config.model_dump(mode="json", exclude={"resume"})
    with suppress(UserError):
        if load_config(files).model_dump(mode="json", exclude={"resume"}) == document:
            return
    write_text(files.config, yaml.safe_dump(document, sort_keys=False, allow_unicode=True))


def saved_hydra(file: Path) -> SavedHydra:
    """Return Hydra's settings from a run's `hydra.yaml`, if it has one. Raises UserError where it is damaged."""
    return _validated(file, TypeAdapter(_HydraFile), _HydraFile()).hydra


def saved_overrides(file: Path) -> list[str]:
    """Return the overrides in a run's `overrides.yaml`, if it has one. Raises UserError where it is damaged."""
    return _validated(file, TypeAdapter(list[str]), [])


def _validated(file: Path, kind: TypeAdapter[T], otherwise: T) -> T:
    from omegaconf import OmegaConf

    if not file.exists():
        return otherwise
    try:
        return kind.validate_python(OmegaConf.to_container(load_yaml(file), resolve=False))
    except ValidationError as error:
        raise UserError(f"{file}: damaged ({reason(error)}).") from None


def load_yaml(file: Path) -> Any:
    """Return the contents of a YAML file as an OmegaConf node. Raises UserError where it is damaged."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        return OmegaConf.load(file)
    except (OSError, ValueError, RecursionError, yaml.YAMLError, OmegaConfBaseException) as error:
        raise UserError(f"{file}: damaged ({reason(error)}).") from None

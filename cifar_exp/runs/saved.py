"""What a run's `.hydra` directory contains, read back: the config, Hydra's settings and the overrides."""

from pathlib import Path
from typing import Any, TypeVar

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import AliasPath, BaseModel, Field, TypeAdapter, ValidationError

from cifar_exp.config.parse import parse, plain
from cifar_exp.config.schema import TrainConfig
from cifar_exp.errors import UserError
from cifar_exp.files import nearest_path, write_text
from cifar_exp.runs.directory import RunDir, reason

T = TypeVar("T")

# What does not change the figures of a run: where its images and its teacher are now, how it is shown, its budget
PLACES = ("data.root", "data.cache_dir", "distill.teacher")
FREE = ("resume", "trial", "logger", "budget", "trainer.enable_progress_bar", *PLACES)


class SavedHydra(BaseModel):
    """Hydra's settings of a run, as far as anything here reads them; the defaults where Python started the run."""

    hydra: dict[str, Any] = {}  # the whole node
    mode: str | None = Field(None, validation_alias=AliasPath("hydra", "mode"))  # RUN | MULTIRUN
    choices: dict[str, Any] = Field({}, validation_alias=AliasPath("hydra", "runtime", "choices"))  # of each group
    sweep_dir: str = Field("", validation_alias=AliasPath("hydra", "sweep", "dir"))


def saved_config(directory: Path) -> dict[str, Any]:
    """Return the config that a run's directory contains, as it was written. Raises UserError where there is none."""
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
    try:
        return plain(config)
    except UserError as error:
        raise UserError(f"{file}: {error}") from None


def load_config(files: RunDir) -> TrainConfig:
    """Return the config that a run's directory contains. Raises UserError where there is none, or an invalid one."""
    saved = saved_config(files.path)
    try:
        return parse(TrainConfig, saved)
    except UserError as error:
        raise UserError(f"{files.config}:\n{error}") from None


def save_config(files: RunDir, config: TrainConfig) -> None:
    """Write a run's config with every value."""
    document = config.model_dump(mode="json", exclude={"resume"})
    write_text(files.config, yaml.safe_dump(document, sort_keys=False, allow_unicode=True))


def saved_hydra(file: Path) -> SavedHydra:
    """Return Hydra's settings from a run's `hydra.yaml`, if it has one. Raises UserError where it is damaged."""
    return _validated(file, TypeAdapter(SavedHydra), SavedHydra.model_validate({}))


def saved_overrides(file: Path) -> list[str]:
    """Return the overrides in a run's `overrides.yaml`, if it has one. Raises UserError where it is damaged."""
    return _validated(file, TypeAdapter(list[str]), [])


def _validated(file: Path, kind: TypeAdapter[T], otherwise: T) -> T:
    if not file.exists():
        return otherwise
    try:
        return kind.validate_python(OmegaConf.to_container(load_yaml(file), resolve=False))
    except ValidationError as error:
        raise UserError(f"{file}: damaged ({reason(error)}).") from None


def load_yaml(file: Path) -> Any:
    """Return the contents of a YAML file as an OmegaConf node. Raises UserError where it cannot be read."""
    try:
        return OmegaConf.load(file)
    except (OSError, ValueError, RecursionError, yaml.YAMLError, OmegaConfBaseException) as error:
        raise UserError(f"{file}: cannot be read as YAML ({reason(error)}).") from None

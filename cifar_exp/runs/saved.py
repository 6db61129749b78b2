"""Runs that have trained, as `eval`, `predict`, `export` and `resume` find them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from cifar_exp.config.parse import parse
from cifar_exp.config.schema import TrainConfig
from cifar_exp.data.settings import DataConfig
from cifar_exp.errors import UserError, did_you_mean
from cifar_exp.network.spec import Spec


@dataclass(frozen=True)
class SavedRun:
    """A run that has trained: its directory, its config as it was, its best weights.

    A weights file by itself has no config; its checkpoint describes the network.
    """

    directory: Path
    config: TrainConfig | None
    checkpoint: Path


def saved_config(directory: Path) -> DictConfig:
    """The config that a run's directory keeps; raises UserError where there is none."""
    if not directory.is_dir():
        near = [path.name for path in directory.parent.iterdir()] if directory.parent.is_dir() else []
        raise UserError(f"{directory}: no such directory.{did_you_mean(directory.name, near)}")
    file = directory / ".hydra" / "config.yaml"
    if not file.is_file():
        raise UserError(f"{directory}: not the directory of a run; expected .hydra/config.yaml in it.")
    config = OmegaConf.load(file)
    if not isinstance(config, DictConfig):
        raise UserError(f"{file}: expected the config of a run.")
    return config


def saved_run(directory: str | Path) -> SavedRun:
    """The run in `directory`, or a weights file; raises UserError where it has no config or no best weights.

    Its budget is checked once its network is loaded, which knows its shapes without the data.
    """
    path = Path(directory)
    if path.is_file():
        return SavedRun(path.parent, None, path)
    saved = saved_config(path)
    try:
        config = parse(TrainConfig, saved)
    except UserError as error:
        raise UserError(f"{path / '.hydra' / 'config.yaml'}:\n{error}") from None
    checkpoint = path / "checkpoints" / "best.ckpt"
    if not checkpoint.is_file():
        raise UserError(f"{path}: no checkpoints/best.ckpt; has the run finished its first epoch?")
    return SavedRun(path, config, checkpoint)


class _ChosenData(Spec):
    """What `data` of `eval` comes to."""

    data: DataConfig


def chosen_data(run: SavedRun, given: Mapping[str, Any] | None) -> DataConfig:
    """`given` where it has a `name` (a chosen group); else the run's own data with the keys of `given` replaced."""
    given = given or {}
    if "name" in given:
        return parse(_ChosenData, {"data": given}).data
    if run.config is None:
        raise UserError(f"run={run.checkpoint}: weights alone do not say what to test on; choose data=… too.")
    return parse(_ChosenData, {"data": {**run.config.data.model_dump(), **given}}).data

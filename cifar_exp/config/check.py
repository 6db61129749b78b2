"""The checks that run before anything is read, made or trained: each command's config, parsed and understood."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ValidationError

from cifar_exp.config.command_schema import (
    EvalConfig,
    ExportConfig,
    PredictConfig,
    ReportConfig,
    SummaryConfig,
)
from cifar_exp.config.devices import check_accelerator, check_compiler, check_devices
from cifar_exp.config.messages import MistakesError, schema_mistakes
from cifar_exp.config.schema import TrainConfig
from cifar_exp.data.describe import DataInfo, describe
from cifar_exp.data.settings import DataConfig
from cifar_exp.errors import UserError, did_you_mean
from cifar_exp.network.cost import Budget, check_budget
from cifar_exp.network.plan import Plan, plan_network
from cifar_exp.network.spec import Spec

Schema = TypeVar("Schema", bound=BaseModel)
AnyConfig = DictConfig | Mapping[str, Any]


def parse(schema: type[Schema], cfg: AnyConfig, required: bool = True) -> Schema:
    """`cfg`, resolved and without Hydra's own node, as `schema`; raises MistakesError with every mistake in it.

    Without `required`, a mandatory value that is still missing (`???`) is none.
    """
    values = plain(cfg)
    missing = [f"{key}=… is missing; this command needs it." for key in _missing(values)] if required else []
    if missing:
        raise MistakesError(missing)
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        raise MistakesError(schema_mistakes(error, schema, values)) from None


def plain(cfg: AnyConfig) -> dict[str, Any]:
    """`cfg` as plain data, its references resolved, without Hydra's own node."""
    if not isinstance(cfg, DictConfig):
        return {str(key): value for key, value in cfg.items() if key != "hydra"}
    if "hydra" in cfg:
        cfg = deepcopy(cfg)
        with open_dict(cfg):
            del cfg["hydra"]
    try:
        values = OmegaConf.to_container(cfg, resolve=True)
    except OmegaConfBaseException as error:
        where = f"{error.full_key}: " if error.full_key else ""
        raise UserError(f"{where}{str(error).splitlines()[0].rstrip('.')}.") from None
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def _missing(values: Mapping[str, Any], prefix: str = "") -> list[str]:
    missing = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            missing += _missing(value, f"{prefix}{key}.")
        elif value == "???":
            missing.append(f"{prefix}{key}")
    return missing


@dataclass(frozen=True)
class CheckedRun:
    """What is known of a run before it starts."""

    config: TrainConfig
    data_info: DataInfo
    plan: Plan


def check_train(cfg: AnyConfig) -> CheckedRun:
    """The run that the root config of `train` describes; no image is read, torch is imported for a GPU only.

    Raises:
        UserError: unknown keys, wrong values, data that is not there, shapes that do not fit, a budget
            exceeded, a device asked for that this machine lacks.
    """
    config = parse(TrainConfig, cfg)
    check_devices(config.trainer)
    check_compiler(config.compile)
    data_info, plan = _planned(config, config.data, config.budget)
    return CheckedRun(config, data_info, plan)


@dataclass(frozen=True)
class CheckedSummary:
    """What `summary` shows."""

    config: SummaryConfig
    data_info: DataInfo
    plan: Plan


def check_summary(cfg: AnyConfig) -> CheckedSummary:
    """The network that the root config of `summary` describes; raises UserError as `check_train`."""
    config = parse(SummaryConfig, cfg)
    data_info, plan = _planned(config, config.data, config.budget)
    return CheckedSummary(config, data_info, plan)


def _planned(config: TrainConfig | SummaryConfig, data: DataConfig, budget: Budget) -> tuple[DataInfo, Plan]:
    data_info = describe(data)
    plan = plan_network(config.model, data_info.input_shape, data_info.num_classes)
    check_budget(plan, budget)
    return data_info, plan


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


def saved_run(directory: str | Path, budget: Budget | None = None) -> SavedRun:
    """The run in `directory`; raises UserError where it has no config or no best weights, or exceeds `budget`.

    A weights file may be given instead (`results/best.ckpt`): its budget is checked once it is loaded.
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
    if budget is not None and budget != Budget():
        _planned(config, config.data, budget)
    return SavedRun(path, config, checkpoint)


@dataclass(frozen=True)
class CheckedEval:
    """What `eval` tests, and on which data."""

    config: EvalConfig
    run: SavedRun
    data: DataConfig
    data_info: DataInfo  # of `data`


class _ChosenData(Spec):
    """What `data` of `eval` comes to."""

    data: DataConfig


def check_eval(cfg: AnyConfig) -> CheckedEval:
    """The run and the data that the root config of `eval` names.

    `data` with a `name` stands for itself (a chosen group); without one, its keys replace those of the run's.
    """
    config = parse(EvalConfig, cfg)
    check_accelerator(config.accelerator, "accelerator")
    run = saved_run(config.run, config.budget)
    data = chosen_data(run, config.data)
    return CheckedEval(config, run, data, describe(data))


def chosen_data(run: SavedRun, given: Mapping[str, Any] | None) -> DataConfig:
    """`given` where it has a `name` (a chosen group); else the run's own data with the keys of `given` replaced."""
    given = given or {}
    if "name" in given:
        return parse(_ChosenData, {"data": given}).data
    if run.config is None:
        raise UserError(f"run={run.checkpoint}: weights alone do not say what to test on; choose data=… too.")
    return parse(_ChosenData, {"data": {**run.config.data.model_dump(), **given}}).data


def check_predict(cfg: AnyConfig) -> tuple[PredictConfig, SavedRun]:
    """The run and the images that the root config of `predict` names."""
    config = parse(PredictConfig, cfg)
    check_accelerator(config.accelerator, "accelerator")
    run = saved_run(config.run, config.budget)
    if not Path(config.image).exists():
        raise UserError(f"image={config.image}: no such file or directory.")
    return config, run


def check_export(cfg: AnyConfig) -> tuple[ExportConfig, SavedRun]:
    """The run that the root config of `export` names."""
    config = parse(ExportConfig, cfg)
    return config, saved_run(config.run, config.budget)


def check_report(cfg: AnyConfig) -> ReportConfig:
    """The directories that the root config of `report` names."""
    config = parse(ReportConfig, cfg)
    runs = [config.runs] if isinstance(config.runs, str) else config.runs
    missing = [run for run in runs if not Path(run).is_dir()]
    if missing:
        raise MistakesError([f"runs: {run}: no such directory." for run in missing])
    return config


SCHEMAS: dict[str, type[BaseModel]] = {
    "train": TrainConfig,
    "eval": EvalConfig,
    "predict": PredictConfig,
    "summary": SummaryConfig,
    "report": ReportConfig,
    "export": ExportConfig,
}
CHECKS: dict[str, Callable[[AnyConfig], object]] = {
    "train": check_train,
    "eval": check_eval,
    "predict": check_predict,
    "summary": check_summary,
    "report": check_report,
    "export": check_export,
}

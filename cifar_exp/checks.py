"""The checks before anything is read, created or trained: each command's config as a typed, checked one."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from cifar_exp.config.command_schema import (
    EvalConfig,
    ExportConfig,
    PredictConfig,
    ReportConfig,
    SummaryConfig,
)
from cifar_exp.config.devices import check_accelerator
from cifar_exp.config.messages import ConfigError, Errors
from cifar_exp.config.parse import AnyConfig, parse
from cifar_exp.config.paths import with_absolute_paths
from cifar_exp.config.planned import Planned, planned
from cifar_exp.config.schema import TrainConfig
from cifar_exp.data.describe import DataInfo, describe
from cifar_exp.data.settings import DataConfig
from cifar_exp.errors import UserError
from cifar_exp.files import nearest_path
from cifar_exp.runs.run import Run, chosen_data, load_run
from cifar_exp.training.check import check_config


def check_train(cfg: AnyConfig, base: Path | None = None) -> Planned[TrainConfig]:
    """Return the run that the root config of `train` describes; no image is read, torch is imported for a GPU only.

    Args:
        cfg: the composed config.
        base: what relative paths start from; None: the working directory.

    Raises:
        UserError: unknown keys, wrong values, missing data or teacher, incompatible shapes, an exceeded budget, a
            device that this machine lacks.
    """
    return check_config(with_absolute_paths(parse(TrainConfig, cfg), base))


def check_summary(cfg: AnyConfig) -> Planned[SummaryConfig]:
    """Return the network that the root config of `summary` describes; raises UserError as `check_train`."""
    return planned(parse(SummaryConfig, cfg))


@dataclass(frozen=True)
class CheckedEval:
    """What `eval` tests, and on which data."""

    config: EvalConfig
    run: Run
    data: DataConfig
    data_info: DataInfo  # of `data`


def check_eval(cfg: AnyConfig) -> CheckedEval:
    """Return the run and the data that the root config of `eval` names.

    `data` with a `name` stands for itself (a chosen group); without one, its keys replace those of the run's.
    """
    config, errors = parse(EvalConfig, cfg), Errors()
    with errors.collected():
        check_accelerator(config.accelerator, "accelerator")
    with errors.collected():
        run = load_run(config.run)
        data = chosen_data(run, config.data)
        data_info = describe(data)
    errors.raise_any()
    return CheckedEval(config, run, data, data_info)


def check_predict(cfg: AnyConfig) -> tuple[PredictConfig, Run]:
    """Return the run and the images that the root config of `predict` names."""
    config, errors = parse(PredictConfig, cfg), Errors()
    with errors.collected():
        check_accelerator(config.accelerator, "accelerator")
    with errors.collected():
        run = load_run(config.run)
    with errors.collected():
        if not Path(config.image).exists():
            raise UserError(f"image={config.image}: no such file or directory.{nearest_path(Path(config.image))}")
    errors.raise_any()
    return config, run


def check_export(cfg: AnyConfig) -> tuple[ExportConfig, Run]:
    """Return the run that the root config of `export` names."""
    config = parse(ExportConfig, cfg)
    return config, load_run(config.run)


def check_report(cfg: AnyConfig) -> ReportConfig:
    """Return the directories that the root config of `report` names."""
    config = parse(ReportConfig, cfg)
    runs = [config.runs] if isinstance(config.runs, str) else config.runs
    missing = [run for run in runs if not Path(run).is_dir()]
    if missing:
        raise ConfigError([f"runs: {run}: no such directory.{nearest_path(Path(run))}" for run in missing])
    return config


SCHEMAS: dict[str, type[BaseModel]] = {
    "train": TrainConfig,
    "eval": EvalConfig,
    "predict": PredictConfig,
    "summary": SummaryConfig,
    "report": ReportConfig,
    "export": ExportConfig,
}
CHECKS: dict[str, Callable[[AnyConfig], Any]] = {
    "train": check_train,
    "eval": check_eval,
    "predict": check_predict,
    "summary": check_summary,
    "report": check_report,
    "export": check_export,
}

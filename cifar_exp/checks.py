"""The checks before anything is read, created or trained: each command's config as a typed, checked one."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from pydantic import BaseModel

from cifar_exp.config.command_schema import (
    EvalConfig,
    ExportConfig,
    PredictConfig,
    ReportConfig,
    SummaryConfig,
)
from cifar_exp.config.compose import Composer
from cifar_exp.config.devices import check_accelerator, check_compiler, check_devices
from cifar_exp.config.messages import ConfigError, collected, errors_of
from cifar_exp.config.parse import AnyConfig, parse, plain, texts, valid_parts, value_errors
from cifar_exp.config.schema import TrainConfig
from cifar_exp.data.describe import DataInfo, describe
from cifar_exp.data.settings import DataConfig
from cifar_exp.errors import UserError
from cifar_exp.files import expanded, nearest_path
from cifar_exp.network.cost import check_budget
from cifar_exp.network.plan import Plan
from cifar_exp.network.planner import plan_network
from cifar_exp.network.spec import unknown_sources
from cifar_exp.runs.run import Run, chosen_data, load_run

Config = TypeVar("Config", TrainConfig, SummaryConfig)

NETWORK = ("model", "data", "budget")  # what a plan is made of


@dataclass(frozen=True)
class Planned(Generic[Config]):
    """A config, and what is known of its data and its network."""

    config: Config
    data_info: DataInfo
    plan: Plan


def planned(config: Config) -> Planned[Config]:
    """Return a config with the plan of its network, which is within its budget.

    Raises:
        UserError: data that is not there, a skip from an unknown layer, shapes that do not fit, an exceeded budget.
    """
    errors: list[str] = unknown_sources(config.model.layers)
    try:
        data_info = describe(config.data)
    except UserError as error:
        errors = [str(error), *errors]
    if errors:
        raise ConfigError(errors)
    plan = plan_network(config.model, data_info.input_shape, data_info.num_classes)
    check_budget(plan, config.budget)
    return Planned(config, data_info, plan)


def _machine_checks(config: TrainConfig, of_several: bool = False) -> list[Callable[[], None]]:
    """Return the checks of what this machine must have for a config, for the parts that it was given."""
    checks: dict[str, Callable[[], None]] = {
        "trainer": lambda: check_devices(config.trainer, of_several),
        "compile": lambda: check_compiler(config.compile),
        "distill": lambda: _check_teacher(config.distill.teacher),
    }
    return [check for part, check in checks.items() if part in config.model_fields_set]


def _with_absolute_paths(config: TrainConfig, base: Path) -> TrainConfig:
    def absolute(path: str | None) -> str | None:
        return None if path is None else str(base / expanded(path))

    paths = {key: absolute(getattr(config.data, key)) for key in ("root", "cache_dir") if getattr(config.data, key)}
    teacher = {"teacher": absolute(config.distill.teacher)}
    return config.model_copy(
        update={"data": config.data.model_copy(update=paths), "distill": config.distill.model_copy(update=teacher)}
    )


def _check_texts(config: TrainConfig) -> None:
    keys = [key for key, text in texts(config.model_dump()) if "${" in text]
    if keys:
        raise ConfigError([f"{key}: expected a text without ${{…}}, which is a reference in YAML." for key in keys])


def _check_teacher(teacher: str | None) -> None:
    if teacher is None:
        return
    try:
        load_run(teacher)
    except UserError as error:
        raise UserError(f"distill.teacher: {error}") from None


def check_train(cfg: AnyConfig, base: Path | None = None, of_several: bool = False) -> Planned[TrainConfig]:
    """Return the run that the root config of `train` describes, its paths absolute.

    No image is read, and torch is imported for a GPU only.

    Args:
        cfg: as the user wrote it; `~` is the user's home.
        base: what relative paths start from; None: the working directory.
        of_several: whether it is a job of `-m`, which trains on one device.

    Raises:
        UserError: everything that is wrong with it: unknown keys, wrong values, data or a teacher that does not exist,
            incompatible shapes, an exceeded budget, a device that this machine does not have, or a text that would be a
            reference in the config that is saved.
    """
    try:
        config = _with_absolute_paths(parse(TrainConfig, cfg), base or Path.cwd())
    except ConfigError as error:
        rest = valid_parts(TrainConfig, plain(cfg), whole=NETWORK)
        network = [lambda: planned(rest)] if rest.model_fields_set >= {*NETWORK} else []
        raise ConfigError([*error.errors, *errors_of(*_machine_checks(rest, of_several), *network)]) from None
    checks = _machine_checks(config, of_several)
    if of_several and config.trainer.devices == "auto":
        config = config.model_copy(update={"trainer": config.trainer.model_copy(update={"devices": 1})})
    *_, checked = collected(lambda: _check_texts(config), *checks, lambda: planned(config))
    return cast(Planned[TrainConfig], checked)


def _other_errors(command: str, cfg: AnyConfig) -> list[str]:
    """Return what else is wrong with the config of a command whose overrides are partly at fault."""
    errors = value_errors(SCHEMAS[command], cfg)
    with suppress(UserError):  # of a reference, which may be missing because of such an override
        errors += errors_of(*_machine_checks(valid_parts(TrainConfig, plain(cfg)))) if command == "train" else []
    return errors


def composer(command: str, config_name: str | None = None) -> Composer:
    """Return what composes the config of a command; see `Composer`."""
    return Composer(command, SCHEMAS[command], partial(_other_errors, command), config_name or command)


def check_eval(cfg: AnyConfig) -> tuple[EvalConfig, Run, DataConfig]:
    """Return the run and the data that the root config of `eval` names.

    `data` with a `name` stands for itself (a chosen group); without one, its keys replace those of the run's.
    """
    config = parse(EvalConfig, cfg)

    def with_data() -> tuple[EvalConfig, Run, DataConfig]:
        run = load_run(config.run)
        data = chosen_data(run, config.data)
        describe(data)
        return config, run, data

    _, checked = collected(lambda: check_accelerator(config.accelerator, "accelerator"), with_data)
    return cast(tuple[EvalConfig, Run, DataConfig], checked)


def check_predict(cfg: AnyConfig) -> tuple[PredictConfig, Run]:
    """Return the run and the images that the root config of `predict` names."""
    config = parse(PredictConfig, cfg)
    image = Path(config.image)

    def check_image() -> None:
        if not image.exists():
            raise UserError(f"image={image}: no such file or directory.{nearest_path(image)}")

    _, run, _ = collected(
        lambda: check_accelerator(config.accelerator, "accelerator"), lambda: load_run(config.run), check_image
    )
    return config, run


def check_export(cfg: AnyConfig) -> tuple[ExportConfig, Run]:
    """Return the run that the root config of `export` names."""
    config = parse(ExportConfig, cfg)
    return config, load_run(config.run)


def check_report(cfg: AnyConfig) -> ReportConfig:
    """Return the directories that the root config of `report` names."""
    config = parse(ReportConfig, cfg)
    missing = [run for run in config.runs if not Path(run).is_dir()]
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
CHECKS: dict[str, Callable[[AnyConfig], Any]] = {  # of the commands other than `train`
    "eval": check_eval,
    "predict": check_predict,
    "summary": lambda cfg: planned(parse(SummaryConfig, cfg)),
    "report": check_report,
    "export": check_export,
}

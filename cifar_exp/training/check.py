"""The checks of a training before anything is read, written or trained; torch is imported for a GPU only."""

from collections.abc import Iterator
from typing import Any

from cifar_exp.config.devices import check_compiler, check_devices
from cifar_exp.config.messages import ConfigError, Errors
from cifar_exp.config.planned import Planned, planned
from cifar_exp.config.schema import TrainConfig, TrainerConfig
from cifar_exp.errors import UserError
from cifar_exp.runs.run import load_run


def check_config(config: TrainConfig) -> Planned[TrainConfig]:
    """Return `config` with the plan of its network; no image is read.

    Raises:
        UserError: data or a teacher that does not exist, incompatible shapes, an exceeded budget, a device that this
            machine does not have, or a text that would be a reference in the config that is saved.
    """
    errors = Errors()
    with errors.collected():
        _check_texts(config)
    with errors.collected():
        check_devices(config.trainer)
    with errors.collected():
        check_compiler(config.compile)
    with errors.collected():
        _check_teacher(config.distill.teacher)
    with errors.collected():
        found = planned(config)
    errors.raise_any()
    return found


def trains_alone(trainer: TrainerConfig) -> bool:
    """Return whether a run takes one device of one machine; torch is imported where that depends on the machine."""
    if trainer.num_nodes > 1:
        return False
    if isinstance(trainer.devices, int) and trainer.devices > 0:
        return trainer.devices == 1
    from cifar_exp.inference.device import device_count

    return device_count(trainer.accelerator, trainer.devices) == 1


def _check_texts(config: TrainConfig) -> None:
    keys = [key for key, text in _texts(config.model_dump()) if "${" in text]
    if keys:
        raise ConfigError([f"{key}: expected a text without ${{…}}, which is a reference in YAML." for key in keys])


def _texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield key, value
    named = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, one in named:
        yield from _texts(one, f"{key}.{name}".lstrip("."))


def _check_teacher(teacher: str | None) -> None:
    if teacher is None:
        return
    try:
        load_run(teacher)
    except UserError as error:
        raise UserError(f"distill.teacher: {error}") from None

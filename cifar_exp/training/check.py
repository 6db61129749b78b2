"""The checks of a training before anything is read, written or trained; torch is imported for a GPU only."""

from cifar_exp.config.devices import check_compiler, check_devices
from cifar_exp.config.messages import Errors
from cifar_exp.config.planned import Planned, planned
from cifar_exp.config.schema import TrainConfig, TrainerConfig
from cifar_exp.errors import UserError
from cifar_exp.runs.run import load_run


def check_config(config: TrainConfig) -> Planned[TrainConfig]:
    """Return `config` with the plan of its network; no image is read.

    Raises:
        UserError: data or a teacher that does not exist, incompatible shapes, an exceeded budget, or a device that
            this machine does not have.
    """
    errors = Errors()
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


def _check_teacher(teacher: str | None) -> None:
    if teacher is None:
        return
    try:
        load_run(teacher)
    except UserError as error:
        raise UserError(f"distill.teacher: {error}") from None

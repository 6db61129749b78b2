"""Which devices are asked for, and whether this machine has them, and a compiler; torch is imported for a GPU only."""

import os
import shutil
import sysconfig
from importlib.util import find_spec
from pathlib import Path

from cifar_exp.config.schema import TrainerConfig
from cifar_exp.errors import UserError

PROCESSES_PER_CORE = 4  # of one run or sweep, at most
COMPILERS = ("g++", "clang++", "cl")  # that torch.compile looks for, where the variable CXX names none


def check_devices(trainer: TrainerConfig, of_several: bool = False) -> None:
    """Raise UserError where `trainer` asks for GPUs that are not there, or for too many processes.

    A job of `-m`, one `of_several`, trains on one device: Lightning starts the other processes of a distributed run by
    the command of the first, which would be the whole of `-m` again.
    """
    check_accelerator(trainer.accelerator, "trainer.accelerator")
    is_one = trainer.devices in ("auto", 1) or (isinstance(trainer.devices, list) and len(trainer.devices) == 1)
    if of_several and not is_one:
        raise UserError(
            f"trainer.devices={trainer.devices}: a job of -m trains on one device.\n"
            "Several devices share one run without -m; several jobs run at once with hydra/launcher=joblib or n_jobs."
        )
    has_numbers = trainer.devices == -1 or isinstance(trainer.devices, list)
    accelerator = trainer.accelerator
    if accelerator == "auto" and has_numbers:
        accelerator = "gpu" if _has_gpu() else "cpu"
    if accelerator in ("gpu", "cuda"):
        _check_gpu_numbers(trainer.devices)
    if accelerator == "cpu" and has_numbers:
        raise UserError(f"trainer.devices={trainer.devices}: processors have no numbers; expected how many, or auto.")
    is_too_many = isinstance(trainer.devices, int) and trainer.devices > most_processes()
    if is_too_many and (accelerator == "cpu" or (accelerator == "auto" and not _has_gpu())):
        raise too_many_processes("trainer.devices", trainer.devices)


def most_processes() -> int:
    """Return how many processes of one command this machine can run at once."""
    return PROCESSES_PER_CORE * (os.cpu_count() or 1)


def too_many_processes(key: str, given: object) -> UserError:
    """Return the error of asking for more, by the value `given` for `key`."""
    per_core = f"{PROCESSES_PER_CORE} per core"
    return UserError(f"{key}={given}: each is a process here; expected at most {most_processes()}, {per_core}.")


def check_accelerator(accelerator: str, key: str) -> None:
    """Raise UserError, naming `key`, where there is no such accelerator."""
    if accelerator == "tpu" and find_spec("torch_xla") is None:
        raise UserError(f"{key}=tpu: PyTorch/XLA is not installed; expected auto or cpu.")
    if accelerator not in ("gpu", "cuda", "mps"):
        return
    import torch

    one = torch.cuda if accelerator == "cuda" else torch.backends.mps
    if not (_has_gpu() if accelerator == "gpu" else one.is_available()):
        what = "Apple GPU" if accelerator == "mps" else "GPU that this PyTorch can use"
        raise UserError(f"{key}={accelerator}: there is no {what} here; expected auto or cpu.")


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available() or torch.backends.mps.is_available()


def _check_gpu_numbers(devices: str | int | list[int]) -> None:
    import torch

    count = torch.cuda.device_count()
    if not count or isinstance(devices, str):
        return
    if isinstance(devices, list):
        absent = [number for number in devices if number >= count]
        if absent:
            raise UserError(f"trainer.devices={devices}: no GPU {absent[0]}; there are {count}, numbered from 0.")
    elif devices > count:
        raise UserError(f"trainer.devices={devices}: there are {count} GPUs here.")


def check_compiler(mode: str | None) -> None:
    """Raise UserError where `compile` is asked for, and torch lacks what it compiles with."""
    if mode is not None and (missing := missing_to_compile()):
        raise UserError(f"compile={mode}: torch.compile needs {missing} was not found.")


def missing_to_compile() -> str | None:
    """Return what torch.compile needs and this machine lacks: a C++ compiler, or the headers of Python."""
    wanted = [os.environ["CXX"]] if "CXX" in os.environ else COMPILERS
    if not any(shutil.which(name) for name in wanted):
        return f"a C++ compiler, and {' or '.join(wanted)}"
    header = Path(sysconfig.get_path("include"), "Python.h")
    return None if header.is_file() else f"Python's headers (Debian: apt-get install python3-dev), and {header}"


def trains_alone(trainer: TrainerConfig) -> bool:
    """Return whether a run takes one device of one machine; torch is imported where that depends on the machine."""
    if trainer.num_nodes > 1:
        return False
    if isinstance(trainer.devices, list):
        return len(trainer.devices) == 1
    if trainer.devices not in ("auto", -1):
        return trainer.devices == 1
    if trainer.accelerator == "cpu":
        return True
    import torch

    has_none = trainer.accelerator in ("auto", "gpu") and not torch.accelerator.is_available()
    return has_none or torch.accelerator.device_count() == 1

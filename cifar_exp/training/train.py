"""`train()`: one run from a checked config to the files of contract section 6."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cifar_exp.config.paths import with_absolute_paths
from cifar_exp.config.planned import Planned
from cifar_exp.config.schema import TrainConfig
from cifar_exp.errors import UserError
from cifar_exp.process import is_first_process, settle
from cifar_exp.runs.directory import RunDir
from cifar_exp.runs.result import Result
from cifar_exp.runs.run import Run, load_run
from cifar_exp.training.check import check_config

if TYPE_CHECKING:
    from pytorch_lightning.callbacks import Callback


def train(config: TrainConfig, directory: str | Path, resume: bool = False) -> Run:
    """Train, validate and test a network, and return the run.

    Args:
        config: see `cifar_exp.compose`.
        directory: the run's directory; it gets the files that `cifar-exp train` leaves.
        resume: continue the run that the directory already contains, of the same config, or return it where it has
            finished; without it such a directory is an error.

    Raises:
        UserError: a config that this machine cannot train, images that cannot be read, a directory that is in use or
            contains a run.
        RunFailedError: a loss that is not finite, or a disk that is full; `result.json` contains the reason.
    """
    run = RunDir(Path(directory).expanduser().absolute())
    train_checked(check_config(with_absolute_paths(config)), run, resume)
    return load_run(run.path)


def train_checked(
    checked: Planned[TrainConfig], run: RunDir, resume: bool = False, callbacks: Sequence["Callback"] = ()
) -> Result:
    """Train a checked config, whose paths are absolute; see `train`."""
    settle()
    from cifar_exp.training.continuation import check_continues
    from cifar_exp.training.fit import Job

    if run.trace is not None and not resume and is_first_process():
        raise UserError(f"{run.path}: already contains a run ({run.trace.name}).")
    if resume:
        check_continues(run, checked.config)
        if run.finished:
            return run.read_result()
    return Job(checked, run, callbacks).train()

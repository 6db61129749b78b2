"""`train()`: one run from a checked config to the files of contract section 6."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cifar_exp.checks import Planned, check_train
from cifar_exp.config.devices import trains_alone
from cifar_exp.config.messages import listing, shown
from cifar_exp.config.schema import TrainConfig
from cifar_exp.errors import UserError
from cifar_exp.files import expanded
from cifar_exp.process import (
    alone,
    configure_process,
    has_rank,
    interrupted_by_cluster,
    is_first_process,
    surviving_hangup,
)
from cifar_exp.runs.directory import RunDir
from cifar_exp.runs.lock import check_not_in_use, in_use
from cifar_exp.runs.new_directory import check_is_writable, missing, near, resume_override, undone_on_error
from cifar_exp.runs.result import Result
from cifar_exp.runs.run import Run, load_run
from cifar_exp.runs.saved import FREE, load_config

if TYPE_CHECKING:
    from pytorch_lightning.callbacks import Callback

Callbacks = Callable[[TrainConfig], "Sequence[Callback]"]
TEACHER = "distill.teacher"  # where it is may change, not whether there is one


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
    run = RunDir(expanded(directory).absolute())
    checked = check_train(config.model_dump(warnings=False))  # a copy with other values has not been checked
    with one_process(checked.config):
        if not check_directory(run, checked.config, resume):
            new = missing(run.path)
            with in_use(run), undone_on_error(run.path, new):
                train_in(run, checked)
    return load_run(run.path)


def train_in(run: RunDir, checked: Planned[TrainConfig], callbacks: Callbacks = lambda _: ()) -> Result:
    """Train a checked config, whose paths are absolute, in a directory that `check_directory` accepts; see `train`.

    Args:
        run: the directory.
        checked: the run.
        callbacks: returns callbacks for a config, besides those of every run; called once the process is configured.
    """
    configure_process()
    from cifar_exp.training.fit import Job

    with in_use(run), surviving_hangup(), interrupted_by_cluster():
        return Job(checked, run, callbacks(checked.config)).train()


def one_process(config: TrainConfig) -> AbstractContextManager[None]:
    """Mark a run on one device as not distributed, whatever rank its launcher has given to this process."""
    return alone(has_rank() and trains_alone(config.trainer))


def check_directory(run: RunDir, config: TrainConfig, resume: bool) -> bool:
    """Return whether the run in a directory has finished already, and write nothing.

    Raises:
        UserError: the directory is in use, contains several runs, one although `resume` is false, or one of another
            config.
    """
    if not is_first_process():
        return False
    if resume and run.trace is not None:
        configure_process()
        _check_continues(run, config)
        if run.finished:
            return True
    check_is_writable(run.path)
    check_not_in_use(run)
    if run.multirun.exists():
        raise UserError(f"{near(run.path)}: contains several runs ({run.multirun.name}); choose another directory.")
    if not resume and run.trace is not None:
        raise UserError(
            f"{near(run.path)}: already contains a run ({run.trace.name}).\n"
            f"Continue it with: cifar-exp train {resume_override(run.path)}"
        )
    return False


def _check_continues(run: RunDir, config: TrainConfig) -> None:
    """Raise UserError, naming the differences, where the run in a directory has another config.

    The checkpoint's config counts: that of the directory may have been replaced by the one to be checked.
    """
    from cifar_exp.training.checkpoints import RunState

    saved = RunState.saved(run).get("config") if run.last.is_file() else None
    if saved is None and run.config.is_file():
        saved = load_config(run).model_dump(mode="json")
    if saved is None:
        return
    changed = list(differences(saved, config.model_dump(mode="json")))
    if changed:
        raise UserError(
            f"{near(run.path)}: contains a run of another config, which cannot be continued:\n{listing(changed)}"
        )


def differences(
    saved: Mapping[str, Any], given: Mapping[str, Any], free: Collection[str] = FREE, prefix: str = ""
) -> Iterator[str]:
    """Yield a text for each key of a run's saved config that has another value now, unless it is `free` to change."""
    for name in dict.fromkeys([*given, *saved]):
        key = f"{prefix}{name}"
        before, now = saved.get(name), given.get(name)
        if before == now or (key in free and (key != TEACHER or None not in (before, now))):
            continue
        if key == "trainer.devices" and {before, now} == {"auto", 1}:  # a job of -m, continued by itself
            continue
        if isinstance(before, Mapping) and isinstance(now, Mapping):
            yield from differences(before, now, free, f"{key}.")
        else:
            yield f"{key}: the run has {shown(before)}, given is {shown(now)}."

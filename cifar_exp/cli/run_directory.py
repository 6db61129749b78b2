"""A run's directory: whether it can be used, and what becomes of it when the job ends in a user error."""

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import count
from pathlib import Path
from shlex import quote

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from cifar_exp.cli.tables import line
from cifar_exp.config.overrides import written
from cifar_exp.config.parse import unresolved
from cifar_exp.errors import UserError
from cifar_exp.files import expanded
from cifar_exp.process import is_first_process
from cifar_exp.runs.directory import RunDir
from cifar_exp.runs.lock import in_use
from cifar_exp.runs.result import Result


def referenced(cfg: DictConfig, key: str) -> str:
    """Return the text at `key` of the config; raises UserError where it refers to nothing."""
    try:
        return str(OmegaConf.select(cfg, key))
    except OmegaConfBaseException as error:
        raise unresolved(error, key) from None


def chosen_directory(cfg: DictConfig, key: str) -> Path:
    """Return the absolute directory that `key` of the config names; raises UserError where it refers to nothing."""
    return expanded(referenced(cfg, key)).absolute()


def is_named_by_clock(cfg: DictConfig, mode: str, overrides: Sequence[Override]) -> bool:
    """Return whether the directory of `mode` (`run`, `sweep`) has the config's own name, made of the time.

    Two commands that start in the same second would have the same.
    """
    name = OmegaConf.to_container(cfg.hydra[mode], resolve=False)["dir"]  # type: ignore[index,call-overload]
    is_chosen = any(one.key_or_group == f"hydra.{mode}.dir" for one in overrides)
    return not is_chosen and "${now:" in str(name)


def near(directory: Path) -> str:
    """Return the path from the working directory where it is below, else the whole path."""
    return str(directory.relative_to(Path.cwd()) if directory.is_relative_to(Path.cwd()) else directory)


def resume_override(directory: Path) -> str:
    """Return `resume=DIRECTORY` as a shell takes it, and Hydra's grammar within."""
    return (
        quote(f"resume={written(near(directory))}")
        if re.search(r"[^\w./-]", near(directory))
        else (f"resume={near(directory)}")
    )


def check_is_writable(directory: Path) -> None:
    """Raise UserError where `directory` cannot be made or written to."""
    try:
        there = next(path for path in (directory, *directory.parents) if path.exists())
    except OSError as error:  # such as a name that is too long
        raise UserError(f"{directory}: {error.strerror or error}.") from None
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise UserError(f"{near(directory)}: nothing can be written to {there}.")


def check_is_free(directory: Path) -> None:
    """Raise UserError where `directory` cannot be made, or already contains a run.

    The other processes of a distributed run share the directory of the first, which has checked it.
    """
    if not is_first_process():
        return
    check_is_writable(directory)
    found = RunDir(directory).trace
    if found is not None:
        raise UserError(
            f"hydra.run.dir={near(directory)}: already contains a run ({found.name}).\n"
            f"Continue it with: cifar-exp train {resume_override(directory)}"
        )


def show_finished(run: RunDir) -> Result:
    """Report that a run has finished already; return its result."""
    result = run.read_result()
    line(f"{run.path} has finished already: test accuracy {result.test_acc:.2%}")
    return result


@contextmanager
def undone_on_error(
    directory: Path, unless_trained: bool = False, is_alone: bool = False, is_default: bool = False
) -> Iterator[Path]:
    """Remove `directory`, and those of its parents that are new and empty, when a UserError passes.

    What was there before stays, and so does a run that has trained an epoch.

    Args:
        unless_trained: a directory with a job in it that wrote anything stays too.
        is_alone: raise UserError where another process trains in the directory.
        is_default: where the directory exists, take the first of `directory-2`, … that does not.

    Yields:
        The directory that is used.
    """
    new = [path for path in (directory, *directory.parents) if not path.exists()]
    if is_default:
        directory = _created(directory)
        new = [directory, *new[1:]]
    try:
        with in_use(RunDir(directory)) if is_alone else nullcontext():
            yield directory
    except UserError:
        has_jobs = unless_trained and any(path.is_dir() for path in directory.glob("[!.]*"))
        if new and not has_jobs and not RunDir(directory).last.exists():
            shutil.rmtree(directory, ignore_errors=True)
            for parent in new[1:]:
                _remove_if_empty(parent)
        raise


def _created(directory: Path) -> Path:
    for number in count(1):
        path = directory if number == 1 else directory.with_name(f"{directory.name}-{number}")
        try:
            path.mkdir(parents=True)
            break
        except FileExistsError:
            if not path.is_dir():
                raise UserError(f"{path}: exists, and is no directory.") from None
        except OSError as error:
            raise UserError(f"{path}: cannot be created ({error.strerror or error}).") from None
    return path


def _remove_if_empty(directory: Path) -> None:
    if directory.is_dir() and not any(directory.iterdir()):
        directory.rmdir()

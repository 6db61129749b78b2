"""A directory for a run: whether it can be used, and what becomes of it when the run ends in a user error."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from shlex import quote

from cifar_exp.config.overrides import written
from cifar_exp.errors import UserError
from cifar_exp.runs.directory import RunDir


def near(directory: Path) -> str:
    """Return the path from the working directory where it is below, else the whole path."""
    return str(directory.relative_to(Path.cwd()) if directory.is_relative_to(Path.cwd()) else directory)


def resume_override(directory: Path) -> str:
    """Return `resume=DIRECTORY` as a shell takes it, and Hydra's grammar within."""
    path = near(directory)
    return quote(f"resume={written(path)}") if re.search(r"[^\w./-]", path) else f"resume={path}"


def check_is_writable(directory: Path) -> None:
    """Raise UserError where `directory` cannot be made or written to."""
    try:
        there = next(path for path in (directory, *directory.parents) if path.exists())
    except OSError as error:  # such as a name that is too long
        raise UserError(f"{directory}: {error.strerror or error}.") from None
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise UserError(f"{near(directory)}: nothing can be written to {there}.")


def created(directory: Path) -> Path:
    """Create `directory` or, where it exists, the first of `directory-2`, … that does not; return the new one."""
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


def missing(directory: Path) -> list[Path]:
    """Return what does not exist of a run's first files, its directory and that one's parents, the innermost first."""
    run = RunDir(directory)
    files = (run.hydra.parent, run.log, run.multirun)
    return [path for path in (*files, directory, *directory.parents) if not path.exists()]


def has_trained(directory: Path) -> bool:
    """Return whether the run in a directory has trained an epoch."""
    return RunDir(directory).last.exists()


@contextmanager
def undone_on_error(directory: Path, new: list[Path], stays: Callable[[Path], bool] = has_trained) -> Iterator[None]:
    """Remove what is new when a UserError passes.

    Args:
        directory: the directory of a run, or of several.
        new: what `missing` has returned for it: its new parents are removed where they are empty.
        stays: whether the directory has contents that are worth keeping.
    """
    try:
        yield
    except UserError:
        for path in [] if stays(directory) else new:
            if path.is_file():
                path.unlink(missing_ok=True)
            elif path.is_relative_to(directory):
                shutil.rmtree(path, ignore_errors=True)
            else:
                with suppress(OSError):  # no longer empty: another process uses it
                    path.rmdir()
        raise

"""The directory that a command uses, as its config names it."""

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from cifar_exp.config.parse import plain, unresolved
from cifar_exp.errors import UserError
from cifar_exp.files import expanded
from cifar_exp.runs.directory import RunDir
from cifar_exp.runs.lock import check_not_in_use, in_use
from cifar_exp.runs.new_directory import check_is_writable, created, has_trained, missing, near, undone_on_error

REFUSALS = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO),
    *(errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.EEXIST),
}


def referenced(cfg: DictConfig, key: str) -> str:
    """Return the text at `key` of the config; raises UserError where it refers to nothing."""
    try:
        return str(OmegaConf.select(cfg, key))
    except OmegaConfBaseException as error:
        plain(cfg)  # the reference may lead to a key of the user's that is at fault itself
        raise unresolved(error, key) from None


def chosen_directory(cfg: DictConfig, key: str) -> Path:
    """Return the absolute directory that `key` of the config names.

    Raises:
        UserError: it refers to nothing, is empty, or would be a reference itself in the config that is saved.
    """
    name = referenced(cfg, key)
    directory = Path(os.path.abspath(expanded(name)))
    if not name or "${" in str(directory):
        given = directory if name else name
        raise UserError(f"{key}: expected the name of a directory, without ${{…}} in it, got '{given}'.")
    return directory


def is_named_by_clock(cfg: DictConfig, mode: str, overrides: Sequence[Override]) -> bool:
    """Return whether the directory of `mode` (`run`, `sweep`) has the config's own name, made of the time.

    Two commands that start in the same second would have the same.
    """
    name = OmegaConf.to_container(cfg.hydra[mode], resolve=False)["dir"]  # type: ignore[index,call-overload]
    is_chosen = any(one.key_or_group == f"hydra.{mode}.dir" for one in overrides)
    return not is_chosen and "${now:" in str(name)


def check_for_several(directory: Path) -> None:
    """Raise UserError where several runs cannot have a directory each in `directory`: it is one run's, or read-only."""
    run = RunDir(directory)
    check_is_writable(directory)
    check_not_in_use(run)
    if run.trace is not None:
        raise UserError(
            f"{near(directory)}: already contains a run ({run.trace.name}); choose another hydra.sweep.dir."
        )


@contextmanager
def refused_paths() -> Iterator[None]:
    """Turn the system's refusal of a path (a full or read-only disk, missing rights) into a UserError that names it."""
    try:
        yield
    except OSError as error:
        if error.errno not in REFUSALS or error.filename is None:
            raise
        raise UserError(f"{error.filename}: {error.strerror}.") from None


@contextmanager
def used(
    directory: Path,
    stays: Callable[[Path], bool] = has_trained,
    is_alone: bool = False,
    is_default: bool = False,
) -> Iterator[Path]:
    """Use a directory of a run, or of several; what is new of it is removed when a UserError passes.

    Args:
        directory: the directory.
        stays: see `undone_on_error`.
        is_alone: raise UserError where another process uses the directory, which then stays.
        is_default: where the directory exists, take the first of `directory-2`, … that does not.

    Yields:
        The directory that is used.
    """
    new = missing(directory)
    if is_default:
        directory = created(directory)
        new = [directory, *(path for path in new if path in directory.parents)]
    lock = in_use(RunDir(directory)) if is_alone else nullcontext()
    with lock, undone_on_error(directory, new, stays), refused_paths():
        yield directory


@contextmanager
def resumable(hint: Callable[[], str]) -> Iterator[None]:
    """Let an interruption report how the user continues."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(hint()) from None

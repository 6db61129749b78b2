"""Locks between processes of one machine, which the kernel frees at their holder's death."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from cifar_exp.errors import UserError
from cifar_exp.files import users_choice
from cifar_exp.process import is_first_process
from cifar_exp.runs.directory import RunDir
from cifar_exp.runs.new_directory import near


def take(path: Path, wait: bool = False) -> BaseFileLock | None:
    """Return the lock on a file, which is ours until it is released; None where another process has it.

    Args:
        path: made where it does not exist, and never removed.
        wait: until nobody else has the lock.

    Returns:
        The lock; None also on a file system that has no locks.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, thread_local=False)
    try:
        lock.acquire(blocking=wait)
    except (OSError, NotImplementedError):  # a Timeout is an OSError
        return None
    return lock


@contextmanager
def in_use(run: RunDir) -> Iterator[None]:
    """Mark a run's directory as used by this process until the block ends, or the process does.

    The other processes of a distributed run share the mark of the first.

    Raises:
        UserError: another process uses the directory, or it cannot be made.
    """
    if not is_first_process():
        yield
        return
    with users_choice(run.path):
        run.lock.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(run.lock, is_singleton=True)  # a block within a block of one process is one use
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise UserError(
            f"{near(run.path)}: in use by another process; choose another directory, or wait for it."
        ) from None
    except (OSError, NotImplementedError):
        pass  # a file system without locks
    try:
        yield
    finally:
        lock.release()


def check_not_in_use(run: RunDir) -> None:
    """Raise UserError where another process uses a run's directory; leave nothing behind."""
    if run.lock.exists():
        with in_use(run):
            pass


def status(run: RunDir) -> str:
    """Return the status in a run's `result.json`, or that it is running, or was interrupted before it could write one.

    Raises:
        UserError: the file is damaged.
    """
    try:
        check_not_in_use(run)
    except UserError:
        return "running"
    return run.read_result().status if run.result.exists() else "interrupted"

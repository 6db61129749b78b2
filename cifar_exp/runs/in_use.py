"""One process per run's directory."""

from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from cifar_exp.errors import UserError
from cifar_exp.process import is_first_process
from cifar_exp.runs.directory import RunDir


@contextmanager
def in_use(run: RunDir) -> Iterator[None]:
    """Mark a run's directory as used by this process until the block ends, or the process does.

    The other processes of a distributed run share the mark of the first.

    Raises:
        UserError: another process uses the directory.
    """
    if not is_first_process():
        yield
        return
    run.lock.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(run.lock, is_singleton=True)  # a block within a block of one process is one use
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise UserError(f"{run.path}: in use by another process; choose another directory, or wait for it.") from None
    except (OSError, NotImplementedError):  # a file system without locks
        yield
        return
    try:
        yield
    finally:
        lock.release()


def check_not_in_use(run: RunDir) -> None:
    """Raise UserError where another process uses a run's directory; leave nothing behind."""
    if run.lock.exists():
        with in_use(run):
            pass

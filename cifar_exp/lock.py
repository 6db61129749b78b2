"""Locks between processes of one machine."""

from contextlib import suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

HAS_LOCKS = fcntl is not None


class Lock:
    """A lock on a file, which the kernel frees at its holder's death. Several may share it, or one have it alone."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+")  # NFS shares a lock on a file that can be read only

    def share(self) -> None:
        """Waits until nobody has it alone."""
        if fcntl is not None:
            with suppress(OSError):  # a file system without locks
                fcntl.flock(self._file, fcntl.LOCK_SH)

    def take(self, wait: bool = False) -> bool:
        """Has it alone, if nobody else has it; always False where the system has no such locks."""
        if fcntl is None:
            return False
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError:
            return False
        return True

    def is_refused(self) -> bool:
        """Has it alone, or says True where somebody else has it; where there are no locks, nobody has."""
        if fcntl is None:
            return False
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:  # a file system without locks
            return False
        return False

    def close(self) -> None:
        """Gives it back."""
        self._file.close()

    def __enter__(self) -> "Lock":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

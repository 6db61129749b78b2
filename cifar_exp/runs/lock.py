"""Locks between processes of one machine."""

from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

HAS_LOCKS = fcntl is not None


class Lock:
    """A lock on a file, which the kernel frees when its owner dies: shared by several processes, or exclusive."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+")  # NFS shares a lock on a file that can be read only

    def share(self) -> None:
        """Take the shared lock; wait while another process has the exclusive one."""
        self._lock(alone=False, wait=True)

    def take(self, wait: bool = False) -> bool:
        """Take the exclusive lock; return whether it was free, always False where the system has no such locks."""
        return self._lock(alone=True, wait=wait) is True

    def _lock(self, alone: bool, wait: bool) -> bool | None:
        """Return whether the lock was taken; None where the system or the file system has no locks."""
        if fcntl is None:
            return None
        try:
            fcntl.flock(self._file, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        except OSError:
            return None
        return True

    def close(self) -> None:
        """Release the lock."""
        self._file.close()

    def __enter__(self) -> "Lock":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

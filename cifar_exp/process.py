"""The process that trains: its threads and memory, its rank, its terminal."""

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import IO, Any

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of mallopt(3)
KEPT_BYTES = 128 * 2**20
LARGEST_KEPT = 32 * 2**20  # the most that glibc allows
CGROUP = Path("/sys/fs/cgroup")
PRESSURE = Path("/proc/pressure/cpu")
CONTENDED = 10.0  # percent of the last ten seconds in which a process has waited for a core
SPINS = "1000"  # of a thread that waits for the others, before it sleeps: some 20 µs
RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID")  # as Lightning's launchers know them


_is_alone: ContextVar[bool] = ContextVar("is_alone", default=False)


def has_rank() -> bool:
    """Return whether a launcher has given this process a rank above 0."""
    return any(os.environ.get(name, "") not in ("", "0") for name in RANKS)


def is_first_process() -> bool:
    """Return whether this is not one of the processes that the first one of a distributed run has started."""
    return _is_alone.get() or not has_rank()


@contextmanager
def alone(is_alone: bool) -> Iterator[None]:
    """Mark a run that is not distributed: its process is the first, whatever rank its launcher has given to it.

    The tasks of a Slurm job may be as many runs.
    """
    token = _is_alone.set(is_alone)
    try:
        yield
    finally:
        _is_alone.reset(token)


@contextmanager
def surviving_hangup() -> Iterator[None]:
    """Ignore the hang-up of a terminal that is closed (SIGHUP), unless it is handled already."""
    with _default_replaced("SIGHUP", signal.SIG_IGN):
        yield


@contextmanager
def interrupted_by_cluster() -> Iterator[None]:
    """Let SIGUSR1, with which `sbatch --signal=USR1@60` announces the end of the job, interrupt like Ctrl-C.

    A handler that exists already is kept.
    """
    with _default_replaced("SIGUSR1", signal.default_int_handler):
        yield


@contextmanager
def _default_replaced(name: str, handler: Any) -> Iterator[None]:
    """Handle a signal where the system has it and its handler is the default; only the main thread can."""
    is_ours = threading.current_thread() is threading.main_thread() and hasattr(signal, name)
    number: Any = getattr(signal, name, None)
    if not is_ours or signal.getsignal(number) is not signal.SIG_DFL:
        yield
        return
    signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, signal.SIG_DFL)


def discard_output(stream: IO[str]) -> None:
    """Send what is written to `stream` from now on to nowhere: its reader, or its terminal, is gone."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    except (OSError, ValueError):  # no file: a notebook's stream
        return


def configure_process() -> None:
    """Configure threads and memory before torch is loaded; may be called twice.

    A process takes as many threads as its container may use, and keeps freed memory: steps of a few milliseconds
    depend on both.
    """
    if sys.platform.startswith("linux"):
        _configure_threads()
        _keep_freed_memory()


def _configure_threads() -> None:
    """Take as many threads as a container may use, where torch would take one for each core that it sees.

    Beside processes that wait for a core, let threads spin for a shorter time while they wait for each other. Else they
    spin for milliseconds (GNU's OpenMP), on cores that others need: an epoch of model2 took 11 to 27 s beside others,
    where it takes 4 to 5 s with a short time. On an idle machine a short time would cost model50k a tenth.
    """
    quota = cpu_quota()
    if quota is not None and quota < len(os.sched_getaffinity(0)):
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, int(quota))))
    if "OMP_WAIT_POLICY" not in os.environ and is_contended():
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)


def is_contended(pressure: Path = PRESSURE) -> bool:
    """Return whether processes of this machine have to wait for a core (Linux's pressure stall information)."""
    try:
        averages = pressure.read_text(encoding="ascii").split()
    except OSError:
        return False
    return any(float(one[6:]) > CONTENDED for one in averages[:2] if one.startswith("avg10="))


def cpu_quota(cgroup: Path = CGROUP) -> float | None:
    """Return how many cores the control group may use (cgroup v2's `cpu.max`, v1's CFS quota); None for no limit."""
    for names in (["cpu.max"], ["cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"]):
        try:
            quota, period = " ".join((cgroup / name).read_text(encoding="ascii") for name in names).split()
        except (OSError, ValueError):
            continue
        return None if quota in ("max", "-1") else int(quota) / int(period)
    return None


def _keep_freed_memory() -> None:
    """Only glibc needs it.

    A training step frees and allocates the same tensors again. glibc hands them back to the system in between, and
    each page must then be cleared anew: 10,000 page faults a step of model50k, a fifth of its time.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None and "MALLOC_TRIM_THRESHOLD_" not in os.environ:
        mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)

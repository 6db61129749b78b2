"""How the workers of running trials show that they are alive, and how others notice that one is not.

There are two signs of life: a lock on a file, which the kernel frees when a worker dies, so that a restart on the same
machine need not wait; and a counter in the study that each worker increments, for workers on other machines. A process
that watches a counter measures with its own clock how long it stands still, so the clocks of machines need not agree.
"""

import logging
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import BaseFileLock

from cifar_exp.runs.lock import take

log = logging.getLogger(__name__)

BEATS = 4  # heartbeats in a grace period


class Heartbeat:
    """Call functions regularly, in a thread of its own, while the process lives."""

    def __init__(self, grace_period: int) -> None:
        self._interval = grace_period / BEATS
        self._beats: dict[Any, Callable[[], None]] = {}
        self._changed = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> "Heartbeat":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopped.set()
        self._thread.join(timeout=5)

    def add(self, key: Any, beat: Callable[[], None]) -> None:
        """Call `beat` from now on."""
        with self._changed:
            self._beats[key] = beat

    def remove(self, key: Any) -> None:
        """No longer call the function of `key`."""
        with self._changed:
            self._beats.pop(key, None)

    def _run(self) -> None:
        while not self._stopped.wait(self._interval):
            with self._changed:
                beats = list(self._beats.values())
            for beat in beats:
                try:
                    beat()
                except Exception as error:  # whatever a database may raise; the next beat may get through
                    log.debug("no heartbeat: %s", error)


class Watch:
    """Notice counters that stand still for longer than the grace period."""

    def __init__(self, grace_period: int) -> None:
        self._grace_period = grace_period
        self._seen: dict[Any, tuple[Any, float]] = {}

    def is_silent(self, key: Any, counter: Any) -> bool:
        """Return whether `counter` has been the same for longer than the grace period."""
        now = time.monotonic()
        known, since = self._seen.get(key, (object(), now))
        if known != counter:
            self._seen[key] = (counter, now)
            return False
        return now - since > self._grace_period


def this_worker(lock: Path, token: str) -> dict[str, str]:
    """Return what a trial's `worker` attribute contains: which process trains it."""
    return {"host": socket.gethostname(), "lock": str(lock), "token": token}


def lock_of_dead(worker: dict[str, str] | None) -> BaseFileLock | None:
    """Return the lock of a worker that died on this machine, now ours; None if it lives or was elsewhere."""
    return None if worker is None or is_elsewhere(worker) else take(Path(worker["lock"]))


def is_elsewhere(worker: dict[str, str] | None) -> bool:
    """Return whether only its counter shows if a worker is alive: no lock of it can be seen here."""
    return worker is None or worker["host"] != socket.gethostname() or not Path(worker["lock"]).is_file()

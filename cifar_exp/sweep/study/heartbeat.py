"""Whether the worker of a running trial still lives, and who takes over where it does not.

Two signs of life: a lock on a file, which the kernel frees at a worker's death, so that a restart on the same
machine need not wait; and Optuna's heartbeats in the storage, for workers elsewhere.
"""

import logging
import socket
import threading
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from cifar_exp.runs.lock import HAS_LOCKS, Lock

log = logging.getLogger(__name__)

BEATS = 4  # heartbeats in a grace period


class Heart:
    """Beats for the trials that this process works on, in a thread of its own."""

    def __init__(self, storage: Any, grace_period: int) -> None:
        self._storage = storage
        self._interval = grace_period / BEATS
        self._trials: set[int] = set()
        self._changed = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> "Heart":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopped.set()
        self._thread.join(timeout=5)

    def add(self, trial_id: int) -> None:
        """Beats for this trial too, from now on."""
        self._storage.record_heartbeat(trial_id)
        with self._changed:
            self._trials.add(trial_id)

    def remove(self, trial_id: int) -> None:
        """No longer beats for this trial."""
        with self._changed:
            self._trials.discard(trial_id)

    def _run(self) -> None:
        while not self._stopped.wait(self._interval):
            with self._changed:
                trials = list(self._trials)
            for trial_id in trials:
                try:
                    self._storage.record_heartbeat(trial_id)
                except Exception as error:  # whatever a database may raise; the next beat may get through
                    log.debug("no heartbeat for trial id %d: %s", trial_id, error)


def this_worker(lock: Path) -> dict[str, str]:
    """What a trial's `worker` attribute says of who works on it."""
    return {"host": socket.gethostname(), "lock": str(lock)}


def lock_of_dead(worker: dict[str, str] | None) -> Lock | None:
    """The lock of a worker that died on this machine, now ours alone; None if it lives or was elsewhere."""
    if not worker or worker["host"] != socket.gethostname() or not Path(worker["lock"]).is_file():
        return None
    lock = Lock(Path(worker["lock"]))
    if lock.take():
        return lock
    lock.close()
    return None


def may_live(worker: dict[str, str] | None) -> bool:
    """Whether only heartbeats can tell: the worker is elsewhere, or unknown, or this system has no locks."""
    here = worker is not None and worker["host"] == socket.gethostname() and Path(worker["lock"]).is_file()
    return not HAS_LOCKS or not here


def revive(storage: Any, trial_id: int, grace_period: int) -> bool:
    """Beats for a trial without a sign of life for `grace_period` seconds; True for the one process that is first.

    The comparison and the new heartbeat are one UPDATE, so that two that find the trial dead do not both take it.
    """
    from optuna.storages._rdb.models import TrialHeartbeatModel as Heartbeat
    from sqlalchemy import func, select, update

    with storage.scoped_session() as session:
        now = session.execute(select(func.now())).scalar().replace(tzinfo=None)
        stale = now - timedelta(seconds=grace_period)
        beat = (
            update(Heartbeat).where(Heartbeat.trial_id == trial_id, Heartbeat.heartbeat < stale).values(heartbeat=now)
        )
        revived = session.execute(beat).rowcount == 1
        session.commit()
        if not revived and Heartbeat.where_trial_id(trial_id, session) is None:
            with suppress(Exception):  # died before its first heartbeat: its grace period starts now
                storage.record_heartbeat(trial_id)
    storage.scoped_session.remove()
    return bool(revived)

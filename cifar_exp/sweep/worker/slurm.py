"""The states of workers that are Slurm jobs."""

import logging
import os
import subprocess
import threading
import time

from submitit import SlurmJob
from submitit.slurm.slurm import SlurmInfoWatcher

log = logging.getLogger(__name__)

POLL_SECONDS = 5.0  # between two calls of squeue, however many jobs there are
TIMEOUT_SECONDS = 60.0  # of one call


class QueueWatcher(SlurmInfoWatcher):
    """The states of Slurm jobs by `squeue`, which every Slurm has, in the place of submitit's `sacct`.

    `sacct` needs an accounting database. Without one, submitit warns at each call and never learns that a job was
    cancelled. With one, it calls at growing intervals, up to ten minutes.
    """

    def __init__(self) -> None:
        super().__init__()
        self._states: dict[str, str] = {}
        self._asked = float("-inf")
        self._lock = threading.Lock()  # a call that began before a job was submitted does not contain the job

    def register_job(self, job_id: str) -> None:
        """Watch a job that Slurm has accepted."""
        with self._lock:
            self._states[job_id] = "PENDING"

    def get_state(self, job_id: str, mode: str = "standard") -> str:
        """Return Slurm's name of the job's state, `COMPLETED` once the queue no longer contains it.

        Args:
            mode: submitit's: `standard` calls at intervals, `force` at once, `cache` not at all.
        """
        interval = {"standard": POLL_SECONDS, "force": 0.0}.get(mode, float("inf"))
        with self._lock:
            if time.monotonic() - self._asked > interval:
                self._update_states()
            return self._states.get(job_id, "UNKNOWN")

    def get_info(self, job_id: str, mode: str = "standard") -> dict[str, str]:
        """Return the job's state as a row of `sacct` would contain it."""
        return {"JobID": job_id, "State": self.get_state(job_id, mode)}

    def cancel_jobs(self) -> None:
        """Cancel the jobs that have not ended: nothing is left for them to do."""
        with self._lock:
            jobs = [job_id for job_id, state in self._states.items() if state != "COMPLETED"]
        if jobs:
            subprocess.run(["scancel", *jobs], capture_output=True, timeout=TIMEOUT_SECONDS, check=False)

    def _update_states(self) -> None:
        self._asked = time.monotonic()
        command = ["squeue", "--noheader", "--array", f"--user={os.getuid()}", "--format=%i|%T"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=True)
        except (OSError, subprocess.SubprocessError) as error:  # the controller is busy, or being restarted
            log.debug("no states of the jobs: %s", error)
            return
        queue = dict(line.strip().split("|") for line in done.stdout.splitlines())
        self._states = {job_id: queue.get(job_id, "COMPLETED") for job_id in self._states}


def watch_the_queue() -> QueueWatcher:
    """Let submitit use `squeue` in this process from now on, in the jobs that are submitted."""
    SlurmJob.watcher = watcher = QueueWatcher()
    return watcher

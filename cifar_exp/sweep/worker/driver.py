"""The process that starts the workers: it shows the table, writes the files, and replaces workers that were lost."""

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from hydra.core.utils import JobReturn
from optuna.trial import FrozenTrial

from cifar_exp.errors import UserError
from cifar_exp.sweep.study.study import SharedStudy
from cifar_exp.sweep.worker.loop import value_of

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
FRUITLESS = 3  # workers lost one after the other without a trial that ended, before the driver gives up
STOP_SECONDS = 20.0  # for the other workers to end after the sweep was stopped

Launch = Callable[[int, int], Sequence[JobReturn]]  # of a first worker and a count


class Driver:
    """Keep `count` workers running until the study is complete.

    Args:
        launch: starts workers with the given numbers and returns when they have ended.
        count: how many.
        together: whether one call of the launcher starts all of them, rather than a call for each.
    """

    def __init__(self, launch: Launch, count: int, together: bool) -> None:
        self._launch = launch
        self._groups = [count] if together else [1] * count
        self._ended: queue.Queue[tuple[int, Any]] = queue.Queue()
        self._started = self._running = self._fruitless = 0

    def run(
        self,
        study: SharedStudy,
        is_over: Callable[[Sequence[FrozenTrial]], bool],
        report: Callable[[Sequence[FrozenTrial]], None],
    ) -> None:
        """Run until every worker has ended and the study is complete, or the space is exhausted.

        Raises:
            UserError: a cause that all trials share, or workers that cannot be started.
        """
        for size in self._groups:
            self._start(size)
        finished = 0
        while self._running:
            try:
                size, value = self._ended.get(timeout=POLL_SECONDS)
            except queue.Empty:
                report(study.trials())
                continue
            self._running -= 1
            trials = study.trials()
            report(trials)
            ended = sum(trial.state.is_finished() for trial in trials)
            self._fruitless = self._fruitless + 1 if ended == finished else 0
            finished = ended
            if isinstance(value, UserError):
                raise value
            if value is None or is_over(trials):
                continue
            reason = f"{type(value).__name__}: {value}".strip(": ").splitlines()[0]
            if self._fruitless >= FRUITLESS:
                raise UserError(f"The workers cannot run: {self._fruitless} were lost one after the other.\n{reason}")
            log.warning("A worker was lost (%s); another takes its place.", reason[:200])
            self._start(size)

    def _start(self, size: int) -> None:
        first, self._started = self._started, self._started + size
        self._running += 1
        threading.Thread(target=self._run, args=(first, size), daemon=True).start()

    def _run(self, first: int, size: int) -> None:
        try:
            values = [value_of(one) for one in self._launch(first, size)]
        except BaseException as error:  # of the launcher: a process that was killed, a task that was cancelled
            values = [error]
        errors = [value for value in values if isinstance(value, BaseException)]
        users = [error for error in errors if isinstance(error, UserError)]
        self._ended.put((size, next(iter(users or errors), None)))

    def wait(self) -> None:
        """Wait a while for the workers of a stopped sweep to end."""
        deadline = time.monotonic() + STOP_SECONDS
        while self._running and (left := deadline - time.monotonic()) > 0:
            try:
                self._ended.get(timeout=left)
                self._running -= 1
            except queue.Empty:
                return

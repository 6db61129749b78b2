"""The process that starts the workers: it shows the table, writes the files, and replaces workers that were lost."""

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.utils import JobReturn
from optuna.trial import FrozenTrial

from cifar_exp.config.jobs import value_of
from cifar_exp.errors import UserError
from cifar_exp.sweep.study.study import SharedStudy

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
FRUITLESS = 3  # workers lost one after the other without any progress of the study, before the driver gives up
STOP_SECONDS = 10.0  # for workers to end by themselves once the study is complete; one may still wait in a queue

Launch = Callable[[int, int], Sequence[JobReturn]]  # of a first worker and a count
Trials = Sequence[FrozenTrial]


@dataclass(frozen=True)
class Group:
    """Workers that one call of the launcher started."""

    size: int
    progress: int  # of the study when they were started


class Driver:
    """Keep `count` workers running until the study is complete.

    Args:
        launch: starts workers with the given numbers and returns when they have ended.
        count: how many.
        together: whether one call of the launcher starts all of them, rather than a call for each.
    """

    def __init__(self, launch: Launch, count: int, together: bool) -> None:
        self._launch = launch
        self._sizes = [count] if together and count else [1] * count
        self._ended: queue.Queue[tuple[Group, Any]] = queue.Queue()
        self._started = self._running = self._fruitless = 0

    def run(self, study: SharedStudy, is_over: Callable[[Trials], bool], report: Callable[[Trials], None]) -> None:
        """Run until the study is complete, or every worker has ended because the space is exhausted.

        Raises:
            UserError: a cause that all trials share, or workers that cannot be started.
        """
        for size in self._sizes:
            self._start(size, study.trials())
        complete_since: float | None = None
        while self._running:
            ended = self._next_ended()
            trials = study.trials()
            report(trials)
            if complete_since is None and is_over(trials):
                complete_since = time.monotonic()
            if ended is not None:
                group, end = ended
                if isinstance(end, UserError):
                    raise end
                if end is not None and complete_since is None:
                    self._replace(group, end, trials)
            elif complete_since is not None and time.monotonic() - complete_since > STOP_SECONDS:
                return

    def _next_ended(self) -> tuple[Group, Any] | None:
        """Return workers that have ended, with the exception that ended them; None if there are none for a while."""
        try:
            ended = self._ended.get(timeout=POLL_SECONDS)
        except queue.Empty:
            return None
        self._running -= 1
        return ended

    def _replace(self, group: Group, end: BaseException, trials: Trials) -> None:
        self._fruitless = self._fruitless + 1 if progress_of(trials) == group.progress else 0
        reason = f"{type(end).__name__}: {end}".strip(": ").splitlines()[0]
        if self._fruitless >= FRUITLESS:
            raise UserError(f"The workers cannot run: {self._fruitless} were lost one after the other.\n{reason}")
        log.warning("A worker was lost (%s); another takes its place.", reason[:200])
        self._start(group.size, trials)

    def _start(self, size: int, trials: Trials) -> None:
        first, self._started = self._started, self._started + size
        self._running += 1
        group = Group(size, progress_of(trials))
        threading.Thread(target=self._run_group, args=(first, group), daemon=True).start()

    def _run_group(self, first: int, group: Group) -> None:
        try:
            values = [value_of(one) for one in self._launch(first, group.size)]
        except BaseException as error:  # of the launcher: a process that was killed, a job that was cancelled
            values = [error]
        errors = [value for value in values if isinstance(value, BaseException)]
        users = [error for error in errors if isinstance(error, UserError)]
        self._ended.put((group, next(iter(users or errors), None)))


def progress_of(trials: Trials) -> int:
    """Return a number that grows with each epoch that is reported and each trial that ends."""
    return sum(len(trial.intermediate_values) + trial.state.is_finished() for trial in trials)

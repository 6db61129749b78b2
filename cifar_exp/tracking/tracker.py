"""Trackers of a run: one that does nothing, which is the interface, and one whose errors do not end a training."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import Tensor

from cifar_exp.inference.evaluation import Evaluation
from cifar_exp.runs.directory import reason

log = logging.getLogger(__name__)


class Tracker:
    """Receives the figures of a run. This one does nothing with them (`logger.mode=disabled`).

    Attributes:
        id: under which an interrupted run is continued.
        directory: of the tracker's files.
        starts_empty: whether the epochs before an interruption have to be logged again.
    """

    id: str | None = None
    directory: Path | None = None
    starts_empty = False

    def log_epoch(self, row: Mapping[str, float]) -> None:
        """Log the figures of one epoch, `epoch` among them."""

    def log_test(self, test: Evaluation, images: Tensor) -> None:
        """Log a test on its images, uint8 (N, C, H, W)."""

    def summarise(self, figures: Mapping[str, Any]) -> None:
        """Log figures of the whole run."""

    def finish(self, exit_code: int) -> None:
        """Close the run: 0 for success."""


class BestEffort(Tracker):
    """Passes everything on to another tracker; its first error is reported as one warning, and ends the tracking.

    `finish` is attempted in any case: it stops the tracker's background process.
    """

    def __init__(self, tracker: Tracker) -> None:
        self.id, self.directory, self.starts_empty = tracker.id, tracker.directory, tracker.starts_empty
        self._tracker = tracker
        self._failed = False

    def log_epoch(self, row: Mapping[str, float]) -> None:
        self._attempt(lambda: self._tracker.log_epoch(row))

    def log_test(self, test: Evaluation, images: Tensor) -> None:
        self._attempt(lambda: self._tracker.log_test(test, images))

    def summarise(self, figures: Mapping[str, Any]) -> None:
        self._attempt(lambda: self._tracker.summarise(figures))

    def finish(self, exit_code: int) -> None:
        had_failed, self._failed = self._failed, False
        self._attempt(lambda: self._tracker.finish(exit_code), quiet=had_failed)

    def _attempt(self, call: Callable[[], None], quiet: bool = False) -> None:
        if self._failed:
            return
        try:
            call()
        except Exception as error:  # a tracker fails in many ways: network, disk, its own process
            self._failed = True
            if not quiet:
                log.warning("the run is no longer tracked: %s", first_line(error))


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its type where it has none; of a rejected setting, its name."""
    if isinstance(error, ValidationError):
        return reason(error)
    return next(iter(str(error).splitlines()), "") or type(error).__name__

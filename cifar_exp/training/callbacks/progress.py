"""The progress of a training on the screen: a live bar on a terminal, one line per epoch elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from cifar_exp.console import Console
from cifar_exp.process import discard_output
from cifar_exp.runs.directory import Row

REDRAW_SECONDS = 0.1


class EpochProgress(pl.Callback):
    """A bar over all steps of the run, and one line of figures per epoch.

    It writes to stderr, so that stdout is for results. A reader that leaves (`2>&1 | head -1`, a closed terminal) ends
    the progress, not the run.
    """

    def __init__(self, enabled: bool = True) -> None:
        self.console = Console(stderr=True)
        self.enabled = enabled
        self.live = enabled and self.console.is_screen
        self._bar: Progress | None = None
        self._drawn = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the bar, where a resumed run left it."""
        if not (self.live and trainer.is_global_zero):
            return
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("epochs"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self.console,
        )
        total = trainer.max_epochs
        self._task = self._bar.add_task("training", total=total, completed=trainer.current_epoch)
        with self._unless_closed():
            self._bar.start()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any) -> None:
        """Move the bar, a few times per second."""
        if self._bar is None or time.perf_counter() - self._drawn < REDRAW_SECONDS:
            return
        self._drawn = time.perf_counter()
        done = trainer.current_epoch + (trainer.fit_loop.batch_idx + 1) / max(int(trainer.num_training_batches), 1)
        with self._unless_closed():
            self._bar.update(self._task, completed=round(done, 2))

    def show(self, row: Row) -> None:
        """Print the line of an epoch."""
        if not self.enabled:
            return
        line = (
            f"epoch {row['epoch'] + 1:>3.0f}  train loss {row['train/loss']:.3f} acc {row['train/acc']:.2%}  "
            f"val loss {row['val/loss']:.3f} acc {row['val/acc']:.2%}  {row['seconds']:.1f} s"
        )
        with self._unless_closed():
            if self._bar is not None:
                self._bar.update(self._task, completed=row["epoch"] + 1)
            self.console.print(line, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Remove the bar; may be called twice."""
        bar, self._bar = self._bar, None
        if bar is not None:
            with self._unless_closed():
                bar.stop()

    @contextmanager
    def _unless_closed(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            self.enabled, self._bar = False, None
            discard_output(sys.stderr)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.close()

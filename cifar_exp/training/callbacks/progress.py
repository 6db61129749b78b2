"""What one sees of a training: a live bar on a terminal, a line an epoch elsewhere."""

import time
from typing import Any

import pytorch_lightning as pl
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from cifar_exp.training.callbacks.history import Row

REDRAW_SECONDS = 0.1


class EpochProgress(pl.Callback):
    """A bar over all steps of the run with the last epoch's figures; on stderr, so that stdout is for results."""

    def __init__(self, enabled: bool = True) -> None:
        self.console = Console(stderr=True)
        self.enabled = enabled
        self.live = enabled and self.console.is_terminal
        self._bar: Progress | None = None
        self._drawn = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Shows the bar, where a resumed run left it."""
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
        self._bar.start()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any) -> None:
        """Moves the bar, a few times a second."""
        if self._bar is None or time.perf_counter() - self._drawn < REDRAW_SECONDS:
            return
        self._drawn = time.perf_counter()
        done = trainer.current_epoch + (trainer.fit_loop.batch_idx + 1) / max(int(trainer.num_training_batches), 1)
        self._bar.update(self._task, completed=round(done, 2))

    def show(self, row: Row) -> None:
        """Prints an epoch's line."""
        if not self.enabled:
            return
        line = (
            f"epoch {row['epoch'] + 1:>3.0f}  train loss {row['train/loss']:.3f} acc {row['train/acc']:.2%}  "
            f"val loss {row['val/loss']:.3f} acc {row['val/acc']:.2%}  {row['seconds']:.1f} s"
        )
        if self._bar is not None:
            self._bar.update(self._task, completed=row["epoch"] + 1)
        self.console.print(line, highlight=False)

    def close(self) -> None:
        """Takes the bar away; may be called twice."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Takes the bar away."""
        self.close()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Takes the bar away."""
        self.close()

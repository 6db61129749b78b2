"""The figures of each epoch: saved in the checkpoints, written to `metrics.csv`, passed to listeners."""

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import pytorch_lightning as pl

from cifar_exp.runs.directory import Row, RunDir
from cifar_exp.training.module import ImageClassifier


class History(pl.Callback):
    """One row per epoch. A checkpoint contains the rows, so that a resumed run continues them."""

    state_key = "History"

    def __init__(self, run: RunDir, listeners: Sequence[Callable[[Row], None]] = ()) -> None:
        self.run = run
        self.listeners = list(listeners)
        self.replay_to: list[Callable[[Row], None]] = []  # listeners to the earlier epochs of a resumed run
        self.rows: list[Row] = []
        self._started = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Pass on the epochs before this process."""
        for row in self.rows:
            for listen in self.replay_to:
                listen(row)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._started = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Add the row of the epoch, after its validation and before its checkpoint."""
        assert isinstance(pl_module, ImageClassifier)
        train = pl_module.train_figures()
        pl_module.log_dict({"train/loss": train.loss, "train/acc": train.accuracy}, sync_dist=False)
        seconds = time.perf_counter() - self._started
        row = {
            "epoch": trainer.current_epoch,
            "train/loss": train.loss,
            "train/acc": train.accuracy,
            "val/loss": pl_module.val_figures.loss,
            "val/acc": pl_module.val_figures.accuracy,
            "lr": trainer.optimizers[0].param_groups[0]["lr"],
            "seconds": seconds,
            "images_per_second": train.images / seconds,
        }
        self.rows.append(row)
        if trainer.is_global_zero:
            self.run.write_metrics(self.rows)
            for listen in self.listeners:
                listen(row)

    @property
    def best(self) -> Row:
        """The row with the best validation accuracy, the first of equals: that of `best.ckpt`."""
        return max(self.rows, key=lambda row: row["val/acc"])

    @property
    def seconds_per_epoch(self) -> float:
        """The median over the epochs after the first, which warms up; of the first where there is no other."""
        return median(row["seconds"] for row in self.rows[1:] or self.rows)

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = [dict(row) for row in state_dict["rows"]]

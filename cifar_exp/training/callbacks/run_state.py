"""What a run's checkpoints keep beside weights and rows: its network's description, its clock, its wandb run."""

import time
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from cifar_exp.inference.classifier import DESCRIPTION
from cifar_exp.runs.checkpoints import load_checkpoint
from cifar_exp.runs.directory import RunDir


class RunState(Callback):
    """Makes a checkpoint describe its network, and a resumed run count its whole time."""

    state_key = "RunState"

    def __init__(self, about: Mapping[str, Any]) -> None:
        """`about`: see `classifier.description`."""
        self.about = about
        self.wandb_id: str | None = None
        self._seconds_before = 0.0
        self._started = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Time spent on the run, by the processes before this one too."""
        return self._seconds_before + time.perf_counter() - self._started

    def state_dict(self) -> dict[str, Any]:
        """Clock and wandb run."""
        return {"seconds": self.seconds, "wandb_id": self.wandb_id}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on with the clock."""
        self._seconds_before = state_dict["seconds"]

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Adds the network's description."""
        checkpoint[DESCRIPTION] = dict(self.about)

    @classmethod
    def saved_wandb_id(cls, run: RunDir) -> str | None:
        """The wandb run of an interrupted run; None where there was none."""
        wandb_id: str | None = load_checkpoint(run.last)["callbacks"][cls.state_key]["wandb_id"]
        return wandb_id

"""What a run's checkpoints contain beside weights and rows: network, config, images, clock, wandb run."""

import time
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from cifar_exp.errors import UserError
from cifar_exp.inference.classifier import DESCRIPTION, load_checkpoint
from cifar_exp.runs.directory import RunDir


class RunState(Callback):
    """Make a checkpoint describe its network and its run, and a resumed run count its whole time."""

    state_key = "RunState"

    def __init__(self, about: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        """Start the clock.

        Args:
            about: see `classifier.description`.
            config: the run's config, resolved, as plain data.
        """
        self.about = about
        self.config = config
        self.data_sha256: str | None = None
        self.wandb_id: str | None = None
        self._seconds_before = 0.0
        self._started = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Time spent on the run, by the processes before this one too."""
        return self._seconds_before + time.perf_counter() - self._started

    def state_dict(self) -> dict[str, Any]:
        """Return clock, wandb run, config, and the hash of the images."""
        return {
            "seconds": self.seconds,
            "wandb_id": self.wandb_id,
            "config": dict(self.config),
            "data_sha256": self.data_sha256,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._seconds_before = state_dict["seconds"]

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint[DESCRIPTION] = dict(self.about)

    @classmethod
    def saved(cls, run: RunDir) -> dict[str, Any]:
        """Return the state in the last checkpoint of an interrupted run; an older run lacks some of its keys.

        Raises:
            UserError: the checkpoint is damaged, or not that of a run.
        """
        state = load_checkpoint(run.last).get("callbacks", {}).get(cls.state_key)
        if not isinstance(state, dict):
            raise UserError(f"{run.last}: not a checkpoint of a run.")
        return state

"""The checkpoints of a run: what they contain, written whole or not at all, in a directory that may move."""

import time
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from pytorch_lightning.plugins import TorchCheckpointIO

from cifar_exp.errors import UserError
from cifar_exp.files import write_bytes
from cifar_exp.inference.classifier import DESCRIPTION, load_checkpoint
from cifar_exp.runs.directory import RunDir


class PlainCheckpointIO(TorchCheckpointIO):
    """Save under a temporary name and rename; load nothing but tensors and plain data."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write `checkpoint`, which must load again with `weights_only=True`. Raises OSError where the disk is full."""
        content = BytesIO()  # of a disk that is full, torch's own writer reports an internal error
        torch.save(checkpoint, content)
        write_bytes(Path(path), content.getbuffer())

    def load_checkpoint(self, path: Any, map_location: Any | None = None, weights_only: bool | None = None) -> Any:
        """Read a checkpoint into host memory. Raises UserError where it is missing, damaged, or anything else."""
        return load_checkpoint(Path(path), map_location or "cpu")


class MovableCheckpoint(ModelCheckpoint):
    """Lightning's, which also knows the best epoch so far in a run that has been moved, or is mounted elsewhere."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` returned, with the paths of the checkpoints as they are now."""
        assert self.dirpath is not None
        here = Path(self.dirpath)

        def moved(path: str) -> str:
            return path and str(here / Path(path).name)

        paths = {key: moved(state_dict[key]) for key in ("best_model_path", "kth_best_model_path", "last_model_path")}
        best = {moved(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict({**state_dict, **paths, "best_k_models": best, "dirpath": self.dirpath})


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


def checkpoints(run: RunDir) -> list[Callback]:
    """Return what keeps the best and then the last checkpoint.

    Lightning's own `save_last` would write the last one only for epochs that are the best so far.
    """

    def checkpoint(path: Path, **kind: Any) -> ModelCheckpoint:
        return MovableCheckpoint(
            path.parent, path.stem, save_on_train_epoch_end=True, enable_version_counter=False, **kind
        )

    return [checkpoint(run.best, monitor="val/acc", mode="max"), checkpoint(run.last)]

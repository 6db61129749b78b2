"""The checkpoints of a run: written whole or not at all, in a directory that may move."""

from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from pytorch_lightning.plugins import TorchCheckpointIO

from cifar_exp.files import write_bytes
from cifar_exp.inference.classifier import load_checkpoint
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


def checkpoints(run: RunDir) -> list[Callback]:
    """Return what keeps the best and then the last checkpoint.

    Lightning's own `save_last` would write the last one only for epochs that are the best so far.
    """

    def checkpoint(path: Path, **kind: Any) -> ModelCheckpoint:
        return MovableCheckpoint(
            path.parent, path.stem, save_on_train_epoch_end=True, enable_version_counter=False, **kind
        )

    return [checkpoint(run.best, monitor="val/acc", mode="max"), checkpoint(run.last)]

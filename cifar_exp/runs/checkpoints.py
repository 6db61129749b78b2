"""Checkpoints: tensors and plain data only, written whole or not at all."""

import pickle
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO

from cifar_exp.errors import UserError
from cifar_exp.files import atomic


class PlainCheckpointIO(TorchCheckpointIO):
    """Saves under a temporary name and renames; loads nothing but tensors and plain data."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Writes `checkpoint`, which must load again with `weights_only=True`."""
        with atomic(Path(path)) as temporary:
            torch.save(checkpoint, temporary)

    def load_checkpoint(self, path: Any, map_location: Any | None = None, weights_only: bool | None = None) -> Any:
        """Reads a checkpoint into host memory. Raises UserError where it is missing, damaged, or anything else."""
        return load_checkpoint(Path(path), map_location or "cpu")


def load_checkpoint(path: Path, map_location: Any | None = "cpu") -> dict[str, Any]:
    """Reads a checkpoint of tensors and plain data. Raises UserError where it is not one."""
    try:
        checkpoint: dict[str, Any] = torch.load(path, map_location=map_location, weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path}: no such checkpoint.") from None
    except pickle.UnpicklingError as error:
        code = [line.strip() for line in str(error).splitlines() if "GLOBAL" in line]
        if not code:  # no pickle at all
            raise UserError(f"{path}: not a readable checkpoint.") from None
        raise UserError(f"{path}: refused, it holds more than tensors and plain data ({code[0][:160]}).") from None
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].split(". ")[0][:160]
        raise UserError(f"{path}: not a readable checkpoint ({reason}).") from None
    return checkpoint

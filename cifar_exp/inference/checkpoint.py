"""Reading checkpoints: tensors and plain data only, so that a file from elsewhere cannot run code."""

import pickle
from pathlib import Path
from typing import Any

import torch

from cifar_exp.errors import UserError


def load_checkpoint(path: Path, map_location: Any | None = "cpu") -> dict[str, Any]:
    """Return a checkpoint of tensors and plain data.

    Raises:
        UserError: the file is missing, damaged, or contains anything else.
    """
    try:
        checkpoint: Any = torch.load(path, map_location=map_location, weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path}: no such checkpoint.") from None
    except pickle.UnpicklingError as error:
        code = [line.strip() for line in str(error).splitlines() if "GLOBAL" in line]
        if not code:  # no pickle at all
            raise UserError(f"{path}: not a readable checkpoint.") from None
        raise UserError(f"{path}: refused, it contains more than tensors and plain data ({code[0][:160]}).") from None
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].split(". ")[0][:160]
        raise UserError(f"{path}: not a readable checkpoint ({reason}).") from None
    except Exception:  # of torch's unpickler, which fails in many ways on what is no pickle
        checkpoint = None
    if not isinstance(checkpoint, dict):
        raise UserError(f"{path}: not a readable checkpoint.")
    return checkpoint

"""Loss and accuracy, summed on the device; and what the processes of a distributed run agree on."""

from collections.abc import Mapping
from typing import NamedTuple

import pytorch_lightning as pl
import torch
from torch import Tensor

STATISTICS = ("running_mean", "running_var")  # of batch norms


class Metrics(NamedTuple):
    """Means over the images of one epoch."""

    loss: float
    accuracy: float
    images: int


class RunningMetrics:
    """Sums that never leave the device before they are asked for."""

    def __init__(self) -> None:
        self.reset(torch.device("cpu"))

    def reset(self, device: torch.device) -> None:
        """Start anew on `device`."""
        exact = torch.float32 if device.type == "mps" else torch.float64  # Apple's GPUs have no more
        self._loss = torch.zeros((), device=device, dtype=exact)
        self._correct = torch.zeros((), device=device, dtype=torch.int64)
        self.images = 0

    def add(self, loss: Tensor, logits: Tensor, targets: Tensor) -> None:
        """Add a batch: its mean loss (), logits (B, K), labels (B,) or class probabilities (B, K)."""
        labels = targets if targets.dim() == 1 else targets.argmax(dim=1)
        self._loss += loss.detach() * len(logits)
        self._correct += (logits.detach().argmax(dim=1) == labels).sum()
        self.images += len(logits)

    def summed_over(self, trainer: pl.Trainer) -> Metrics:
        """Return the means over the images of all processes."""
        images = torch.tensor(self.images, device=self._loss.device)
        sums = torch.stack([figure.to(self._loss.dtype) for figure in (self._loss, self._correct, images)])
        if trainer.world_size > 1:
            sums = trainer.strategy.reduce(sums, reduce_op="sum")
        loss, correct, seen = sums.tolist()
        return Metrics(loss / max(seen, 1), correct / max(seen, 1), int(seen))


@torch.no_grad()
def share_statistics(tensors: Mapping[str, Tensor], trainer: pl.Trainer) -> None:
    """Replace the statistics of all processes by their mean, so that all validate, save and resume one network.

    Args:
        tensors: the buffers of a network by their names; those that are no statistics stay as they are.
        trainer: the Trainer of this process.
    """
    if trainer.world_size == 1:
        return
    for name, tensor in tensors.items():
        if name.rpartition(".")[2] in STATISTICS:
            tensor.copy_(trainer.strategy.reduce(tensor.clone(), reduce_op="mean"))

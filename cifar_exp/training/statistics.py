"""Batch norms' running statistics in a distributed run, where each process sees other images."""

from collections.abc import Mapping

import pytorch_lightning as pl
import torch
from torch import Tensor

STATISTICS = ("running_mean", "running_var")


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

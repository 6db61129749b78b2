"""Batch norms' running statistics in a distributed run, where each process sees other images."""

import pytorch_lightning as pl
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@torch.no_grad()
def share_statistics(module: nn.Module, trainer: pl.Trainer) -> None:
    """Makes those of all processes their mean, so that all validate, keep and resume one and the same network."""
    if trainer.world_size == 1:
        return
    for norm in module.modules():
        if isinstance(norm, _BatchNorm):
            for statistic in (norm.running_mean, norm.running_var):
                if statistic is not None:
                    statistic.copy_(trainer.strategy.reduce(statistic.clone(), reduce_op="mean"))

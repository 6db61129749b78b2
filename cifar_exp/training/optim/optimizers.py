"""Optimizers and learning-rate schedules, chosen by config: torch's own."""

import math
from typing import Any

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import ConstantLR, LambdaLR, LinearLR, LRScheduler, OneCycleLR, SequentialLR

from cifar_exp.config.schema import (
    AdamConfig,
    AdamWConfig,
    ConstantConfig,
    CosineConfig,
    MuonConfig,
    OneCycleConfig,
    OptimizerConfig,
    SchedulerConfig,
    SGDConfig,
)
from cifar_exp.training.optim.muon import MuonAndAdamW


def build_optimizer(config: OptimizerConfig, module: nn.Module, fused: bool = True) -> Optimizer:
    """Return the optimizer of `module`'s parameters; `fused` into one kernel, or as torch chooses.

    Weight decay spares biases, norms and scales.
    """
    if isinstance(config, MuonConfig):
        return MuonAndAdamW(module, config)
    groups = decayed_groups(module, config.weight_decay)
    if isinstance(config, SGDConfig):
        return SGD(groups, lr=config.lr, momentum=config.momentum, nesterov=config.nesterov, fused=fused or None)
    adam = {AdamWConfig: AdamW, AdamConfig: Adam}[type(config)]
    beta1, beta2 = config.betas
    return adam(groups, lr=config.lr, betas=(beta1, beta2), eps=config.eps, fused=fused or None)


def decayed_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Return two parameter groups: weights, which decay, and one-dimensional parameters, which do not."""
    parameters = list(module.parameters())
    weights = [p for p in parameters if p.dim() > 1]
    others = [p for p in parameters if p.dim() <= 1]
    groups = [{"params": weights, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def build_schedule(config: SchedulerConfig, optimizer: Optimizer, steps: int, epochs: int) -> LRScheduler:
    """Return the schedule of a run of `steps` optimizer steps in `epochs` epochs, advanced at each step.

    Each group's own rate is its peak.
    """
    if isinstance(config, OneCycleConfig):
        total, rising = max(steps, 2), config.pct_start
        if rising * total == 1.0:
            rising = math.nextafter(rising, 1.0)  # torch divides by the steps after the first one of the way up
        return OneCycleLR(
            optimizer,
            max_lr=[group["lr"] for group in optimizer.param_groups],
            total_steps=total,
            pct_start=rising,
            div_factor=config.div_factor,
            final_div_factor=config.final_div_factor,
            cycle_momentum=False,
        )
    warmup = min(round(config.warmup_epochs * steps / epochs), steps - 1)
    after = _after_warmup(config, optimizer, steps - warmup)
    if warmup == 0:
        return after
    rise = LinearLR(optimizer, start_factor=1 / (warmup + 1), end_factor=1.0, total_iters=warmup)
    return SequentialLR(optimizer, [rise, after], milestones=[warmup])


def _after_warmup(config: CosineConfig | ConstantConfig, optimizer: Optimizer, steps: int) -> LRScheduler:
    if isinstance(config, ConstantConfig):
        return ConstantLR(optimizer, factor=1.0, total_iters=0)
    least = config.min_lr_ratio
    return LambdaLR(optimizer, lambda step: least + (1 - least) * (1 + math.cos(math.pi * step / steps)) / 2)

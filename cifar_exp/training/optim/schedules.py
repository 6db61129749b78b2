"""Learning-rate schedules: torch's own, chosen by config, advanced once a step."""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    ConstantLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    OneCycleLR,
    SequentialLR,
)

from cifar_exp.config.schema import ConstantConfig, CosineConfig, OneCycleConfig, SchedulerConfig


def build_schedule(config: SchedulerConfig, optimizer: Optimizer, steps: int, epochs: int) -> LRScheduler:
    """Return the schedule of a run of `steps` optimizer steps in `epochs` epochs; each group's own rate is its peak."""
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

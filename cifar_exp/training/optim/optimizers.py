"""Optimizers, chosen by config: torch's own, fused; weight decay spares biases, norms and scales."""

from typing import Any

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from cifar_exp.config.schema import AdamConfig, AdamWConfig, MuonConfig, OptimizerConfig, SGDConfig
from cifar_exp.training.optim.muon import MuonAndAdamW


def build_optimizer(config: OptimizerConfig, module: nn.Module, fused: bool = True) -> Optimizer:
    """Return the optimizer of `module`'s parameters; `fused` into one kernel, or as torch chooses."""
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

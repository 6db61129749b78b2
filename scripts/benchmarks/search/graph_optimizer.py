"""Optimizers for trainings whose learning rates are tensors, so that one CUDA graph serves every step."""

import math

import torch
from torch import Tensor, nn
from torch.optim import AdamW

from cifar_exp.config.schema import AdamWConfig, MuonConfig, OptimizerConfig
from cifar_exp.training.optim.muon import orthogonalised
from cifar_exp.training.optim.optimizers import build_optimizer


class GraphOptimizer:
    """The update of `MuonAndAdamW` or of AdamW, on the device from end to end.

    Muon's matrices are padded with zeros to one shape and orthogonalised by one chain of products: a zero row or
    column stays zero, so the result is that of separate chains (Jordan et al. 2024, "Muon").
    """

    def __init__(self, module: nn.Module, config: MuonConfig | AdamWConfig) -> None:
        self.config = config
        matrices = _muon_weights(module) if isinstance(config, MuonConfig) else []
        chosen = {id(weight) for weight in matrices}
        rest = [parameter for parameter in module.parameters() if id(parameter) not in chosen]
        device = rest[0].device
        self._matrices = matrices
        self._momenta = [torch.zeros_like(weight) for weight in matrices]
        self._muon_lr = torch.zeros((), device=device)
        self._adamw_lr = torch.zeros((), device=device)
        if isinstance(config, MuonConfig):
            self._adamw_peak, betas = config.adamw_lr, config.adamw_betas
            groups = [{"params": rest, "weight_decay": config.adamw_weight_decay}]
        else:
            self._adamw_peak, betas = config.lr, config.betas
            weights = [parameter for parameter in rest if parameter.dim() > 1]
            others = [parameter for parameter in rest if parameter.dim() <= 1]
            groups = [
                {"params": weights, "weight_decay": config.weight_decay},
                {"params": others, "weight_decay": 0.0},
            ]
        is_gpu = device.type == "cuda"
        self._adamw = AdamW(
            groups, lr=self._adamw_lr, betas=(betas[0], betas[1]), capturable=is_gpu, fused=is_gpu, foreach=False
        )
        if matrices:
            shapes = [weight.flatten(1).shape for weight in matrices]
            self._rows, self._columns = max(map(min, shapes)), max(map(max, shapes))

    def step(self, factor: Tensor) -> None:
        """Update on the gradients that are there, at `factor` (scalar tensor) times the peak rates."""
        self._adamw_lr.copy_(factor * self._adamw_peak)
        self._adamw.step()
        if self._matrices:
            self._step_muon(factor)

    @torch.no_grad()
    def _step_muon(self, factor: Tensor) -> None:
        config = self.config
        assert isinstance(config, MuonConfig)
        gradients = [weight.grad for weight in self._matrices if weight.grad is not None]
        torch._foreach_lerp_(self._momenta, gradients, 1 - config.momentum)
        updates = torch._foreach_lerp(gradients, self._momenta, config.momentum) if config.nesterov else self._momenta
        packed = torch.zeros(len(self._matrices), self._rows, self._columns, device=factor.device)
        for place, update in zip(packed, updates, strict=True):
            matrix = update.flatten(1)
            wide = matrix.mT if matrix.size(0) > matrix.size(1) else matrix
            place[: wide.size(0), : wide.size(1)].copy_(wide)
        directions = orthogonalised(packed, (3.4445, -4.775, 2.0315), config.ns_steps)
        self._muon_lr.copy_(factor * config.lr)
        torch._foreach_mul_(self._matrices, 1 - self._muon_lr * config.weight_decay)
        for weight, direction in zip(self._matrices, directions, strict=True):
            rows, columns = weight.flatten(1).shape
            least, largest = min(rows, columns), max(rows, columns)
            wide = direction[:least, :largest]
            matrix = wide.mT if rows > columns else wide
            scale = 0.2 * math.sqrt(largest)  # as large as AdamW's (arXiv:2502.16982, section 2.2)
            weight.sub_((matrix.to(weight.dtype) * (self._muon_lr * scale)).reshape(weight.shape))


class EagerOptimizer:
    """The project's own optimizer behind the interface of `GraphOptimizer`, for a processor."""

    def __init__(self, module: nn.Module, config: OptimizerConfig) -> None:
        self._optimizer = build_optimizer(config, module)
        self._peaks = [group["lr"] for group in self._optimizer.param_groups]

    def step(self, factor: Tensor) -> None:
        """Update on the gradients that are there, at `factor` (scalar tensor) times the peak rates."""
        for group, peak in zip(self._optimizer.param_groups, self._peaks, strict=True):
            group["lr"] = peak * factor.item()
        self._optimizer.step()


def one_cycle(steps: int, rising: float, div_factor: float, final_div_factor: float) -> list[float]:
    """Return the factor of each of `steps` steps of torch's OneCycleLR with cosine annealing."""

    def annealed(start: float, end: float, part: float) -> float:
        return end + (start - end) / 2 * (1 + math.cos(math.pi * part))

    top = max(rising * steps - 1, 1e-9)
    low, last = 1 / div_factor, 1 / div_factor / final_div_factor
    return [
        annealed(low, 1.0, step / top) if step <= top else annealed(1.0, last, (step - top) / (steps - 1 - top))
        for step in range(steps)
    ]


def _muon_weights(module: nn.Module) -> list[Tensor]:
    """Dense and full convolution weights, the last dense layer apart, as `experiment=…` with `optimizer=muon`."""
    dense = [one for one in module.modules() if isinstance(one, nn.Linear)]
    convolutions = [one for one in module.modules() if isinstance(one, nn.Conv2d) and one.groups == 1]
    inner: list[nn.Linear | nn.Conv2d] = [*convolutions, *dense[:-1]]
    return [layer.weight for layer in inner]

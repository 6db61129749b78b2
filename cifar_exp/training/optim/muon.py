"""Muon for the matrices of a network, AdamW for all the rest."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Muon, Optimizer

from cifar_exp.config.schema import MuonConfig


class BatchedMuon(Muon):
    """torch's Muon, with one chain of products for all matrices of a shape instead of one for each.

    On a processor the products are in float32: bfloat16, which torch's takes everywhere, is five times slower on one
    without instructions for it (AMX, AVX-512 BF16), and a step of model1 would spend more on Muon than on the network.
    """

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Make one step on the gradients that exist."""
        for group in self.param_groups:
            of_shape: dict[torch.Size, list[Tensor]] = {}
            for matrix in group["params"]:
                if matrix.grad is not None:
                    of_shape.setdefault(matrix.shape, []).append(matrix)
            for matrices in of_shape.values():
                self._step(matrices, group)

    def _step(self, matrices: list[Tensor], group: dict[str, Any]) -> None:
        gradients = [matrix.grad for matrix in matrices if matrix.grad is not None]
        momenta = [self._momentum(matrix) for matrix in matrices]
        updates = momenta
        for momentum, gradient in zip(momenta, gradients, strict=True):
            momentum.lerp_(gradient, 1 - group["momentum"])
        if group["nesterov"]:
            pairs = zip(gradients, momenta, strict=True)
            updates = [gradient.lerp(momentum, group["momentum"]) for gradient, momentum in pairs]
        directions = orthogonalised(torch.stack(updates), group["ns_coefficients"], group["ns_steps"])
        rate = group["lr"] * 0.2 * math.sqrt(max(matrices[0].shape))  # as large as AdamW's (arXiv:2502.16982, §2.2)
        for matrix, direction in zip(matrices, directions.to(matrices[0].dtype).unbind(), strict=True):
            matrix.mul_(1 - group["lr"] * group["weight_decay"]).add_(direction, alpha=-rate)

    def _momentum(self, matrix: Tensor) -> Tensor:
        state = self.state[matrix]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(matrix)
        momentum: Tensor = state["momentum_buffer"]
        return momentum


def orthogonalised(matrices: Tensor, coefficients: tuple[float, float, float], steps: int) -> Tensor:
    """Return the matrices (N, rows, columns) with singular values near 1: between 0.7 and 1.2 after five steps.

    Newton–Schulz iterations of a quintic polynomial (Jordan et al. 2024, "Muon", kellerjordan.github.io/posts/muon).
    """
    x = matrices.float() if matrices.device.type == "cpu" else matrices.bfloat16()
    is_tall = x.size(1) > x.size(2)
    x = x.mT if is_tall else x
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp(min=1e-7)
    is_wide = x.size(2) > 2 * x.size(1) and x.dtype == torch.float32
    x = _iterated_on_gram(x, coefficients, steps) if is_wide else _iterated(x, coefficients, steps)
    return x.mT if is_tall else x


def _iterated(x: Tensor, coefficients: tuple[float, float, float], steps: int) -> Tensor:
    """(N, rows, columns), each step X ← (a + b·G + c·G²) X with G = X Xᵀ."""
    a, b, c = coefficients
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


def _iterated_on_gram(x: Tensor, coefficients: tuple[float, float, float], steps: int) -> Tensor:
    """Return the same with products of (rows, rows) except for the first and last: all factors are polynomials of G."""
    a, b, c = coefficients
    gram = x @ x.mT
    identity = torch.eye(x.size(1), device=x.device, dtype=x.dtype)
    factor = product = identity
    for step in range(steps):
        gram = factor @ gram @ factor if step else gram
        factor = torch.baddbmm(a * identity, gram, gram, alpha=c).add_(gram, alpha=b)
        product = factor @ product if step else factor
    return product @ x


class MuonAndAdamW(Optimizer):
    """Muon (Jordan et al. 2024) on dense and full convolution weights, AdamW on biases, norms, depthwise kernels
    and the last dense layer, which orthogonal updates do not suit.

    torch's Muon takes matrices only, so each convolution weight (O, I, h, w) is given to it as a matrix
    (O, I·h·w) that shares its memory.
    """

    def __init__(self, module: nn.Module, config: MuonConfig) -> None:
        matrices = _matrices(module)
        twins = [nn.Parameter(_as_matrix(weight)) for weight in matrices]
        self._pairs = list(zip(matrices, twins, strict=True))
        chosen = {id(weight) for weight in matrices}
        rest = [p for p in module.parameters() if id(p) not in chosen]
        self._muon = BatchedMuon(
            [{"params": twins}],  # there may be none
            lr=config.lr,
            weight_decay=config.weight_decay,
            momentum=config.momentum,
            nesterov=config.nesterov,
            ns_steps=config.ns_steps,
        )
        beta1, beta2 = config.adamw_betas
        self._adamw = AdamW(
            rest, lr=config.adamw_lr, weight_decay=config.adamw_weight_decay, betas=(beta1, beta2), fused=True
        )
        super().__init__([{"params": matrices, "lr": config.lr}, {"params": rest, "lr": config.adamw_lr}], {})

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Make one step of both, at the rates that the schedule has set."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for weight, twin in self._pairs:
            twin.grad = None if weight.grad is None else _as_matrix(weight.grad)
        for group, part in zip(self.param_groups, (self._muon, self._adamw), strict=True):
            for own in part.param_groups:
                own["lr"] = group["lr"]
            part.step()
        for _, twin in self._pairs:
            twin.grad = None
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Return the states of both, and the groups' rates."""
        return {**super().state_dict(), "muon": self._muon.state_dict(), "adamw": self._adamw.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._muon.load_state_dict(state_dict["muon"])
        self._adamw.load_state_dict(state_dict["adamw"])
        super().load_state_dict({key: state_dict[key] for key in ("state", "param_groups")})


def _matrices(module: nn.Module) -> list[Tensor]:
    dense = [m for m in module.modules() if isinstance(m, nn.Linear)]
    convolutions = [m for m in module.modules() if isinstance(m, nn.Conv2d) and m.groups == 1]
    inner: list[nn.Linear | nn.Conv2d] = [*convolutions, *dense[:-1]]
    return [layer.weight for layer in inner]


def _as_matrix(weight: Tensor) -> Tensor:
    """(O, I, h, w) as (O, I·h·w) without a copy, whatever the memory format; the order of columns does not matter."""
    weight = weight.detach()
    if weight.dim() == 2:
        return weight
    return (weight if weight.is_contiguous() else weight.permute(0, 2, 3, 1)).flatten(1)

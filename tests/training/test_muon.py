"""Muon as torch has it, in fewer and faster operations."""

import pytest
import torch
from torch import nn

from cifar_exp.training.optim.muon import BatchedMuon, orthogonalised
from tests.speed.counting import Operators

SHAPES = ((16, 40), (16, 40), (40, 16), (12, 12), (20, 30))
COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def matrices(shapes: tuple[tuple[int, int], ...] = SHAPES) -> list[nn.Parameter]:
    torch.manual_seed(0)
    return [nn.Parameter(torch.randn(shape)) for shape in shapes]


def trained(optimizer_class: type[torch.optim.Optimizer], **options: object) -> list[nn.Parameter]:
    """Matrices after three steps on the same gradients."""
    parameters = matrices()
    optimizer = optimizer_class(parameters, lr=0.02, weight_decay=0.1, momentum=0.9, **options)  # type: ignore[call-arg]
    for _ in range(3):
        for parameter in parameters:
            parameter.grad = torch.randn(parameter.shape)
        optimizer.step()
    return parameters


@pytest.mark.parametrize("nesterov", [True, False])
def test_its_steps_are_those_of_torch(nesterov: bool) -> None:
    start = matrices()
    ours = trained(BatchedMuon, nesterov=nesterov)
    theirs = trained(torch.optim.Muon, nesterov=nesterov, adjust_lr_fn="match_rms_adamw")
    for before, own, other in zip(start, ours, theirs, strict=True):
        assert (own - other).norm() < 0.02 * (other - before).norm()  # torch's have the 8 bits of bfloat16


def test_an_update_s_singular_values_are_near_1() -> None:
    torch.manual_seed(0)
    for shape in ((3, 16, 40), (2, 40, 16)):
        values = torch.linalg.svdvals(orthogonalised(torch.randn(shape), COEFFICIENTS, 5))
        assert 0.6 < values.min() <= values.max() < 1.25


def test_a_gradient_of_zero_changes_nothing_but_the_decay() -> None:
    (parameter,) = matrices(((4, 6),))
    before = parameter.detach().clone()
    parameter.grad = torch.zeros_like(parameter)
    BatchedMuon([parameter], lr=0.1, weight_decay=0.5).step()
    torch.testing.assert_close(parameter.detach(), before * 0.95)


def test_a_matrix_without_a_gradient_stays() -> None:
    with_gradient, without = matrices(((4, 6), (4, 6)))
    before = without.detach().clone()
    with_gradient.grad = torch.ones_like(with_gradient)
    BatchedMuon([with_gradient, without], lr=0.1).step()
    assert torch.equal(without, before)


def test_more_matrices_of_a_shape_need_no_more_products() -> None:
    products = []
    for count in (1, 6):
        parameters = matrices(((8, 24),) * count)
        for parameter in parameters:
            parameter.grad = torch.ones_like(parameter)
        with Operators() as operators:
            BatchedMuon(parameters, lr=0.1).step()
        products.append(sum(number for name, number in operators.counts.items() if "bmm" in name))
    assert products[0] == products[1] <= 1 + 4 * 4 + 2

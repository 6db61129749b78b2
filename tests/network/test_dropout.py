"""Byte-drawn dropout: exact rate, independent elements, unbiased output."""

import math

import pytest
import torch
from torch import nn

from cifar_exp.config.devices import missing_to_compile
from cifar_exp.network.dropout import ByteDropout, keep_mask


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.2, 0.35, 0.5, 0.9])
def test_elements_are_dropped_at_the_given_rate(rate: float) -> None:
    torch.manual_seed(0)
    calls, size = 400, 20_000
    dropped = sum(int((keep_mask(torch.empty(size), rate) == 0).sum()) for _ in range(calls))
    # Between calls the threshold moves by one byte, which adds at most (1/512)² to a call's variance.
    deviation = math.sqrt(rate * (1 - rate) / (calls * size) + (1 / 512) ** 2 / calls)
    assert abs(dropped / (calls * size) - rate) < 5 * deviation


def test_the_expected_output_is_the_input() -> None:
    torch.manual_seed(0)
    x = torch.ones(64, 64, 8, 8)
    assert abs(ByteDropout(0.2).train()(x).mean().item() - 1) < 0.01


def test_neighbours_are_dropped_independently() -> None:
    torch.manual_seed(0)
    dropped = (keep_mask(torch.empty(400_000), 0.3) == 0).float()
    for lag in range(1, 17):
        both = (dropped[:-lag] * dropped[lag:]).mean().item()
        assert both == pytest.approx(0.09, abs=0.004)


def test_evaluation_and_rate_zero_change_nothing() -> None:
    x = torch.randn(2, 3)
    assert ByteDropout(0.5).eval()(x) is x
    assert ByteDropout(0.0).train()(x) is x


@pytest.mark.parametrize("shape", [(7,), (3, 5), (2, 3, 5, 7)])
def test_any_shape_and_memory_format_works(shape: tuple[int, ...]) -> None:
    x = torch.randn(shape)
    if len(shape) == 4:
        x = x.to(memory_format=torch.channels_last)
    y = ByteDropout(0.5).train()(x)
    kept = y != 0
    assert y.shape == x.shape
    assert y.stride() == x.stride()
    torch.testing.assert_close(y[kept], 2 * x[kept])


def test_a_strided_view_works() -> None:
    x = torch.randn(6, 8)[:, ::2]
    assert ByteDropout(0.5).train()(x).shape == (6, 4)


def test_the_gradient_flows_through_what_is_kept() -> None:
    x = torch.ones(1000, requires_grad=True)
    y = ByteDropout(0.25).train()(x)
    y.sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, y.detach())


def test_the_same_seed_draws_the_same_mask() -> None:
    masks = []
    for _ in range(2):
        torch.manual_seed(3)
        masks.append(keep_mask(torch.empty(1000), 0.2))
    assert torch.equal(*masks)


@pytest.mark.skipif(missing_to_compile() is not None, reason=f"torch.compile needs {missing_to_compile()}")
@pytest.mark.parametrize("shape", ["channels_last", "transposed"])
def test_a_compiled_network_draws_masks_of_its_own_without_a_break(shape: str) -> None:
    x = torch.ones(8, 16, 32, 32)
    x = x.to(memory_format=torch.channels_last) if shape == "channels_last" else x.transpose(2, 3)
    x.requires_grad_()
    dropout = nn.Sequential(ByteDropout(0.25), nn.Identity(), ByteDropout(0.5)).train()
    compiled = torch.compile(dropout, fullgraph=True, dynamic=False)
    torch.manual_seed(3)
    first, second = compiled(x), compiled(x)
    assert not torch.equal(first, second)
    assert (first == 0).float().mean().item() == pytest.approx(1 - 0.75 * 0.5, abs=0.01)
    assert first.mean().item() == pytest.approx(1, abs=0.02)
    first.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, first)  # the mask of the way back is the one of the way there
    torch.manual_seed(3)
    assert torch.equal(compiled(x), first)

"""What optimizers are told of a network, and schedules of optimizers."""

import pytest
import torch
from torch import nn

from cifar_exp.config.schema import AdamWConfig, CosineConfig, MuonConfig
from cifar_exp.training.optim.muon import MuonAndAdamW
from cifar_exp.training.optim.optimizers import build_optimizer, build_schedule


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3, groups=8), nn.Flatten(), nn.Linear(8, 4)
    )


def test_muon_s_groups_are_the_network_s_own_parameters() -> None:
    module = network()
    groups = MuonAndAdamW(module, MuonConfig(name="muon", lr=0.02)).param_groups
    assert {id(p) for group in groups for p in group["params"]} == {id(p) for p in module.parameters()}


def test_a_clipped_gradient_is_what_muon_steps_by() -> None:
    module = network()
    optimizer = MuonAndAdamW(module, MuonConfig(name="muon", lr=0.02, weight_decay=0.0))
    before = [p.detach().clone() for p in module.parameters()]
    module(torch.randn(2, 3, 5, 5)).square().sum().backward()
    nn.utils.clip_grad_value_([p for group in optimizer.param_groups for p in group["params"]], 0.0)
    optimizer.step()
    assert all(torch.equal(p, old) for p, old in zip(module.parameters(), before, strict=True))


def test_an_optimizer_that_is_not_fused_can_be_clipped_by_lightning() -> None:
    config = AdamWConfig(name="adamw", lr=0.01)
    assert getattr(build_optimizer(config, network()), "_step_supports_amp_scaling", False)
    assert not getattr(build_optimizer(config, network(), fused=False), "_step_supports_amp_scaling", False)


def test_a_cosine_ends_at_its_share_of_each_group_s_rate() -> None:
    optimizer = build_optimizer(MuonConfig(name="muon", lr=0.02, adamw_lr=0.003), network())
    schedule = build_schedule(CosineConfig(name="cosine", warmup_epochs=0.0, min_lr_ratio=0.2), optimizer, 10, 1)
    rates = [[group["lr"] for group in optimizer.param_groups]]
    for _ in range(10):
        optimizer.step()
        schedule.step()
        rates.append([group["lr"] for group in optimizer.param_groups])
    assert rates[0] == pytest.approx([0.02, 0.003])
    assert rates[5] == pytest.approx([0.012, 0.0018])
    assert rates[10] == pytest.approx([0.004, 0.0006])


def test_muon_trains_a_network_without_a_matrix_for_it() -> None:
    module = nn.Sequential(nn.Conv2d(3, 6, 3, groups=3), nn.Flatten(), nn.Linear(6, 4))
    optimizer = MuonAndAdamW(module, MuonConfig(name="muon", lr=0.02))
    before = [p.detach().clone() for p in module.parameters()]
    module(torch.randn(2, 3, 3, 3)).square().sum().backward()
    optimizer.step()
    assert not any(torch.equal(p, old) for p, old in zip(module.parameters(), before, strict=True))

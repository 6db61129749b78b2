"""What a candidate costs, and whether it can be trained."""

import time
import tracemalloc
from itertools import product
from random import Random

import pytest
from hydra import compose
from omegaconf import OmegaConf

from cifar_exp.network import firmware
from cifar_exp.network.cost import costs_of
from cifar_exp.network.planner import plan_network
from cifar_exp.network.spec import ModelSpec
from cifar_exp.sweep.search import pricing
from tests.sweep.proposing import BASE, WIDTHS, Make, draw


def price_in_full(overrides: list[str]) -> int:
    """The parameters of what the job itself would build."""
    cfg = compose("train", overrides=overrides)
    return plan_network(
        ModelSpec.model_validate(OmegaConf.to_container(cfg.model, resolve=True)), (3, 32, 32), 10
    ).params


def test_a_choice_of_a_reference_is_priced_as_what_it_refers_to(make: Make) -> None:
    narrow, second = "++model.layers.conv1.channels=choice(16,32)", "model.layers.conv2.channels"
    for choice in ("choice(64,${model.layers.conv1.channels})", "choice(${model.layers.conv1.channels},64)"):
        proposer, pricer, space = make(*BASE, narrow, f"++{second}={choice}", "budget.params=100000")
        proposer.check()
        for values in product(*(swept.values for swept in space.swept.values())):
            candidate = dict(zip(space.swept, values, strict=True))
            assert pricer.costs(candidate)["params"] == price_in_full(space.overrides(candidate))


def test_the_price_is_that_of_what_the_job_builds(make: Make) -> None:
    model = "model=model50k,resnet8,model2"
    more = ("++model.head.hidden=choice([],[64],[32,32])", "data.num_classes=choice(4,10)", "seed=1,2")
    _, pricer, space = make(model, "data=synthetic", "++model.layer.kernel_size=choice(3,5)", *more)
    for seed in range(6):
        candidate = draw(space, Random(seed))
        cfg = compose("train", overrides=space.overrides(candidate))
        spec = ModelSpec.model_validate(OmegaConf.to_container(cfg.model, resolve=True))
        planned = plan_network(spec, (3, 32, 32), candidate["data.num_classes"])
        assert pricer.costs(candidate) == costs_of(planned)


@pytest.mark.parametrize(
    "tied",
    [
        ("++model.layers.conv2.channels=${model.layers.conv1.channels}",),  # followed by us
        (
            "++model.layers.conv3.channels=${model.layers.conv2.channels}",
            "++model.layers.conv2.channels=${model.layers.conv1.channels}",
        ),
        ("++model.layers.conv2.channels=${seed}",),  # left to OmegaConf
    ],
)
def test_references_in_a_model_follow_the_swept_values(make: Make, tied: tuple[str, ...]) -> None:
    _, pricer, space = make(*BASE, "++model.layers.conv1.channels=range(8,65,step=8)", "seed=choice(24,48)", *tied)
    for seed in range(3):
        candidate = draw(space, Random(seed))
        assert pricer.costs(candidate)["params"] == price_in_full(space.overrides(candidate))
        model = pricer.model(candidate)
        assert isinstance(model["layers"]["conv2"]["channels"], int)


def test_thousands_of_candidates_per_second_are_rejected(make: Make) -> None:
    """A third of what an idle core of a small machine does, in the best of four rounds: machines are busy."""
    for budget, per_second in (("budget.params=9000", 600), ("budget.sram_bytes=6000", 250)):
        proposer, pricer, space = make(*BASE, *WIDTHS, budget)
        proposer.check()
        random, rates, rejected = Random(0), [], 0
        for _ in range(4):
            began = time.process_time()
            rejected += sum(not pricer.price(draw(space, random)).fits for _ in range(300))
            rates.append(300 / (time.process_time() - began))
        assert max(rates) > per_second
        assert rejected > 0.9 * 4 * 300


def test_firmware_is_planned_only_for_a_budget_of_it_and_for_proposals(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(firmware, "fuse", lambda plan: pytest.fail("planned"))
    _, pricer, space = make(*BASE, *WIDTHS, "budget.params=50000")
    assert {pricer.price(draw(space, Random(seed))).fits for seed in range(100)} == {True, False}


def test_the_memory_of_prices_is_bounded(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pricing, "REMEMBERED", 100)
    _, pricer, space = make(*BASE, *WIDTHS, "budget.params=50000")
    pricer.price(draw(space, Random(0)))
    tracemalloc.start()
    for seed in range(600):
        pricer.price(draw(space, Random(seed)))
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used < 300 * 2**10

"""Candidates that use up their budget: a width that is filled, a cost that is preferred."""

from typing import Any

import pytest
from optuna.trial import FrozenTrial

from cifar_exp.network.plan import Plan
from cifar_exp.network.planner import plan_network
from cifar_exp.network.spec import ModelSpec
from cifar_exp.sweep.search import pricing
from tests.sweep.proposing import BASE, WIDTHS, Make, ended, proposed, score


def test_fill_takes_the_largest_width_that_fits(make: Make) -> None:
    key = "model.layers.conv7.channels"
    proposer, pricer, space = make(*BASE, *WIDTHS[:6], f"++{key}=range(8,301)", "budget.params=50000", fill=key)
    for trial in proposed(proposer, space, 13, lambda candidate: (score(candidate),)):
        width = trial.params[key]
        assert pricer.price(trial.params).fits
        assert width == 300 or not pricer.price({**trial.params, key: width + 1}).fits


def test_fill_tries_every_width_where_some_do_not_fit_the_shapes(make: Make) -> None:
    key = "model.layers.conv6.channels"  # its skip takes multiples of conv5's channels only
    proposer, pricer, space = make(
        "model=model50k",
        "data=synthetic",
        "++model.layers.conv5.channels=choice(24,32)",
        f"++{key}=range(8,200)",
        "budget.params=50000",
        fill=key,
    )
    for trial in proposed(proposer, space, 2, lambda candidate: (score(candidate),)):
        larger = list(range(trial.params[key] + 1, 200))
        assert trial.params[key] % trial.params["model.layers.conv5.channels"] == 0
        assert not any(pricer.price({**trial.params, key: width}).fits for width in larger)


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_random_candidates_have_much_of_the_preferred_cost(make: Make, sampler: str) -> None:
    def mean_macs(prefer: str | None) -> float:
        proposer, pricer, space = make(*BASE, *WIDTHS, "budget.params=50000", sampler=sampler, prefer=prefer)
        trials = proposed(proposer, space, 8, lambda candidate: (score(candidate),))
        assert all(pricer.price(trial.params).fits for trial in trials)
        return sum(int(pricer.costs(trial.params)["macs"] or 0) for trial in trials) / len(trials)

    assert mean_macs("macs") > 1.2 * mean_macs(None)


@pytest.mark.parametrize("fill", [None, "model.layers.conv7.channels"])
def test_a_preferred_cost_plans_no_candidate_twice(
    make: Make, monkeypatch: pytest.MonkeyPatch, fill: str | None
) -> None:
    planned: list[str] = []

    def plan(spec: ModelSpec, *about: Any) -> Plan:
        planned.append(spec.model_dump_json())
        return plan_network(spec, *about)

    monkeypatch.setattr(pricing, "plan_network", plan)
    proposer, _, _ = make(*BASE, *WIDTHS, "budget.params=50000", sampler="random", prefer="macs", fill=fill)
    assert proposer.propose([], 0) is not None
    assert len(planned) <= len(set(planned)) + 1  # what is proposed, once more for all of its costs
    assert len(set(planned)) >= 8


def test_a_space_is_exhausted_whatever_is_preferred(make: Make) -> None:
    few = ("++model.layers.conv7.channels=choice(8,16,24)",)
    proposer, _, space = make(*BASE, *few, "budget.params=200000", prefer="macs")
    trials: list[FrozenTrial] = []
    while (proposal := proposer.propose(trials, len(trials))) is not None:
        trials.append(ended(space, proposal.candidate, proposal.notes, 0.5))
    assert sorted(trial.params["model.layers.conv7.channels"] for trial in trials) == [8, 16, 24]

"""What is proposed: within the budget, new, in time, and better than chance."""

import time
from random import Random
from statistics import mean

import pytest
from optuna.trial import FrozenTrial

from cifar_exp.sweep.search import pricing
from cifar_exp.sweep.search.space import Candidate
from tests.sweep.proposing import BASE, LEARNED, WIDTHS, Make, draw, ended, proposed, score


@pytest.fixture(scope="module")
def drawn(make: Make) -> list[FrozenTrial]:
    """Trials of candidates that were drawn at random from what is within the budget."""
    proposer, _, space = make(*BASE, *WIDTHS, "budget.params=50000", sampler="random")
    trials: list[FrozenTrial] = proposed(proposer, space, 40, lambda candidate: (score(candidate),))
    return trials


@pytest.mark.parametrize(("sampler", "learns"), [("tpe", True), ("gp", True), ("random", False), ("nsgaii", False)])
def test_every_sampler_proposes_new_candidates_within_the_budget_and_those_that_learn_beat_chance(
    make: Make, drawn: list[FrozenTrial], sampler: str, learns: bool
) -> None:
    """nsgaii learns from its first generation, which is larger than what was drawn."""
    proposer, pricer, _ = make(*BASE, *WIDTHS, "budget.params=50000", sampler=sampler)
    proposals = [proposer.propose(drawn, seed) for seed in range(4)]
    candidates = [proposal.candidate for proposal in proposals if proposal is not None]
    assert len(candidates) == 4
    assert all(pricer.costs(candidate)["params"] <= 50_000 for candidate in candidates)
    assert not [candidate for candidate in candidates if candidate in [trial.params for trial in drawn]]
    if learns:
        assert mean(map(score, candidates)) > mean(trial.value for trial in drawn) + LEARNED


@pytest.mark.parametrize("sampler", ["tpe", "nsgaii", "gp"])
def test_two_objectives_are_searched_too(make: Make, sampler: str) -> None:
    two = {"direction": ["maximize", "minimize"], "objectives": ["val/acc", "macs"]}
    proposer, pricer, space = make(*BASE, *WIDTHS, "budget.params=50000", sampler=sampler, **two)
    trials = proposed(proposer, space, 11, lambda one: (score(one), pricer.costs(one)["macs"]))
    assert all(pricer.price(trial.params).fits for trial in trials)


def test_all_budgets_hold_together(make: Make) -> None:
    limits = {"params": 40_000, "macs": 500_000, "peak_activation_bytes": 14_000}
    budget = [f"budget.{name}={limit}" for name, limit in limits.items()]
    proposer, pricer, space = make(*BASE, *WIDTHS, *budget)
    for trial in proposed(proposer, space, 12, lambda candidate: (score(candidate),)):
        costs = pricer.costs(trial.params)
        assert all(costs[name] <= limit for name, limit in limits.items())


def test_a_sliver_of_a_space_is_found(make: Make) -> None:
    proposer, pricer, _ = make(*BASE, *WIDTHS, "budget.params=9000", "optimizer.lr=interval(1e-3,1e-2)")
    smallest = pricer.costs(proposer.check())["params"]
    proposer, pricer, _ = make(*BASE, *WIDTHS, f"budget.params={smallest}", "optimizer.lr=interval(1e-3,1e-2)")
    proposer.check()
    began = time.monotonic()
    proposal = proposer.propose([], 0)
    assert proposal is not None
    assert pricer.costs(proposal.candidate)["params"] == smallest
    assert time.monotonic() - began < 10


def test_under_a_tight_budget_candidates_are_drawn_from_all_that_is_within(make: Make) -> None:
    widths = [f"++model.layers.conv{number}.channels=range(4,300)" for number in range(1, 7)]
    small = ("++model.layers.conv7.channels=4", "++model.head.hidden=[]", "budget.params=2500")
    for sampler in ("random", "tpe"):
        proposer, pricer, space = make(*BASE, *widths, *small, sampler=sampler)
        proposer.check()
        began = time.monotonic()
        trials = proposed(proposer, space, 12, lambda candidate: (score(candidate),))
        assert time.monotonic() - began < 12 * 3
        assert len({tuple(trial.params.values()) for trial in trials}) == 12
        assert all(pricer.price(trial.params).fits for trial in trials)
        assert sum(max(trial.params.values()) > 4 for trial in trials) >= 11


def test_the_last_candidates_of_a_tight_budget_are_found_too(make: Make) -> None:
    """Far fewer candidates are within the budget than the space holds: one step from the smallest network each."""
    widths = [f"++model.layers.conv{number}.channels=range(8,300)" for number in range(1, 8)]
    proposer, pricer, _ = make(*BASE, *widths, "budget.params=3000000")
    smallest = {f"model.layers.conv{number}.channels": 8 for number in range(1, 8)}
    limit = min(pricer.costs({**smallest, key: 9})["params"] for key in smallest)
    proposer, pricer, space = make(*BASE, *widths, f"budget.params={limit}")
    found = []
    while (proposal := proposer.propose(found, len(found))) is not None:
        found.append(ended(space, proposal.candidate, {}, 0.5))
    assert len({tuple(trial.params.values()) for trial in found}) == len(found) >= 2


@pytest.mark.parametrize(("sampler", "seconds"), [("tpe", 1.5), ("gp", 6.0)])
def test_proposals_take_as_long_after_thousands_of_trials(make: Make, sampler: str, seconds: float) -> None:
    """Of processor time, the second proposal; the first one also reads the trials."""
    proposer, pricer, space = make(*BASE, *WIDTHS, "budget.params=50000", sampler=sampler)
    random, trials = Random(0), []
    while len(trials) < 2000:
        candidate = draw(space, random)
        if pricer.price(candidate).fits or len(trials) > 50:
            trials.append(ended(space, candidate, {}, score(candidate)))
    assert proposer.propose(trials, 0) is not None
    began = time.process_time()
    assert proposer.propose(trials, 1) is not None
    assert time.process_time() - began < seconds


def test_nothing_is_repeated_and_an_exhausted_space_is_reported(make: Make) -> None:
    proposer, _, space = make(*BASE, "++model.layers.conv1.channels=choice(32,64)", "optimizer.lr=choice(0.1,0.2,0.3)")
    trials = proposed(proposer, space, 6, lambda candidate: (0.5,))
    assert len({tuple(trial.params.values()) for trial in trials}) == 6
    assert proposer.propose(trials, 7) is None  # exhausted


def test_the_same_trials_and_seed_give_the_same_proposal(make: Make) -> None:
    proposer, _, space = make(*BASE, *WIDTHS, "budget.params=50000")
    trials = proposed(proposer, space, 12, lambda candidate: (score(candidate),))
    again, _, _ = make(*BASE, *WIDTHS, "budget.params=50000")
    one, other = proposer.propose(trials, 99), again.propose(trials, 99)
    assert one is not None
    assert other is not None
    assert one.candidate == other.candidate


def test_a_slow_machine_makes_the_same_proposals(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every price takes half a second, by a clock that only runs then."""
    tight = (*BASE, *WIDTHS, "budget.params=20000")
    proposer, _, space = make(*tight)
    trials = proposed(proposer, space, 12, lambda candidate: (score(candidate),))
    slow, pricer, _ = make(*tight)
    slow.check()
    now, price = 0.0, pricer.price

    def priced(candidate: Candidate) -> pricing.Price:
        nonlocal now
        now += 0.5
        return price(candidate)

    monkeypatch.setattr(pricer, "price", priced)
    for module in ("feasible", "samplers", "proposals"):
        monkeypatch.setattr(f"cifar_exp.sweep.search.{module}.monotonic", lambda: now, raising=False)
    for seed, trial in enumerate(trials):
        proposal = slow.propose(trials[:seed], seed)
        assert proposal is not None
        assert proposal.candidate == trial.params

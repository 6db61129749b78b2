"""What is proposed: within the budget, new, in time, and better than chance."""

import time
import tracemalloc
from collections.abc import Callable, Iterator
from itertools import product
from math import log
from pathlib import Path
from random import Random
from statistics import mean
from typing import Any

import optuna
import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from optuna.trial import FrozenTrial, TrialState

from cifar_exp.config.location import conf_dir
from cifar_exp.config.overrides import parse_overrides
from cifar_exp.errors import UserError
from cifar_exp.network import firmware
from cifar_exp.network.cost import costs_of
from cifar_exp.network.plan import Plan
from cifar_exp.network.planner import plan_network
from cifar_exp.network.spec import ModelSpec
from cifar_exp.sweep.search import pricing
from cifar_exp.sweep.search.checks import check_choices
from cifar_exp.sweep.search.pricing import PlanPricer
from cifar_exp.sweep.search.proposals import Proposer
from cifar_exp.sweep.search.space import Candidate, Space, build_space
from cifar_exp.sweep.settings import SweepSettings, parse_settings

WIDTHS = tuple(f"++model.layers.conv{number}.channels=range(16,129,step=8)" for number in range(1, 8))
BASE = ("model=model50k", "data=synthetic", "++model.layer.projection=conv1x1")
LEARNED = 0.4  # by which the mean score of learned proposals exceeds that of random ones: half a standard deviation

Make = Callable[..., tuple[Proposer, PlanPricer, Space]]


def settings(sampler: str = "tpe", **more: Any) -> SweepSettings:
    return parse_settings(
        {"n_trials": 9, "study_name": "s", "sampler": {"name": sampler}, "pruner": {"name": "none"}, **more}
    )


@pytest.fixture(scope="module")
def make() -> Iterator[Make]:
    """Proposers of the spaces that overrides describe."""
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):

        def made(*overrides: str, sampler: str = "tpe", **more: Any) -> tuple[Proposer, PlanPricer, Space]:
            space = build_space(parse_overrides(overrides))
            pricer = PlanPricer(space, lambda given: compose("train", overrides=given), ("model", "data"))
            return Proposer(space, pricer, settings(sampler, **more)), pricer, space

        yield made


def price_in_full(overrides: list[str]) -> int:
    """The parameters of what the job itself would build."""
    cfg = compose("train", overrides=overrides)
    return plan_network(
        ModelSpec.model_validate(OmegaConf.to_container(cfg.model, resolve=True)), (3, 32, 32), 10
    ).params


def ended(space: Space, candidate: Candidate, notes: dict[str, Any], *values: float) -> FrozenTrial:
    return optuna.create_trial(
        state=TrialState.COMPLETE,
        values=list(values),
        params=candidate,
        distributions=space.distributions,
        system_attrs=notes,
    )


def draw(space: Space, random: Random) -> Candidate:
    return {key: swept.draw(random) for key, swept in space.swept.items()}


def score(candidate: Candidate) -> float:
    """What a study might measure: every width helps, the last ones less."""
    return sum(log(width) / (1 + position / 4) for position, width in enumerate(candidate.values()))


def proposed(proposer: Proposer, space: Space, count: int, values: Callable[[Candidate], tuple[float, ...]]) -> Any:
    trials: list[FrozenTrial] = []
    for seed in range(count):
        proposal = proposer.propose(trials, seed)
        assert proposal is not None
        trials.append(ended(space, proposal.candidate, proposal.notes, *values(proposal.candidate)))
    return trials


def test_an_error_in_the_config_is_not_one_of_the_candidates(make: Make) -> None:
    choices = [f"++model.layers.conv{number}.channels=choice(16,32,64,128)" for number in range(1, 8)]
    proposer, _, _ = make(*BASE, *choices, "data=folder", "data.root=/nowhere", "budget.params=50000")
    began = time.monotonic()
    with pytest.raises(UserError, match=r"^data\.root: there is no directory"):
        proposer.valid()
    assert time.monotonic() - began < 10


def test_a_choice_of_a_reference_is_priced_as_what_it_refers_to(make: Make) -> None:
    narrow, second = "++model.layers.conv1.channels=choice(16,32)", "model.layers.conv2.channels"
    for choice in ("choice(64,${model.layers.conv1.channels})", "choice(${model.layers.conv1.channels},64)"):
        proposer, pricer, space = make(*BASE, narrow, f"++{second}={choice}", "budget.params=100000")
        proposer.check()
        for values in product(*(swept.values for swept in space.swept.values())):
            candidate = dict(zip(space.swept, values, strict=True))
            assert pricer.costs(candidate)["params"] == price_in_full(space.overrides(candidate))


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


def test_all_budgets_hold_together(make: Make) -> None:
    limits = {"params": 40_000, "macs": 500_000, "peak_activation_bytes": 14_000}
    budget = [f"budget.{name}={limit}" for name, limit in limits.items()]
    proposer, pricer, space = make(*BASE, *WIDTHS, *budget)
    for trial in proposed(proposer, space, 12, lambda candidate: (score(candidate),)):
        costs = pricer.costs(trial.params)
        assert all(costs[name] <= limit for name, limit in limits.items())


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


def test_a_choice_is_invalid_only_if_no_other_choice_makes_it_valid(make: Make) -> None:
    """Nesterov's momentum needs a momentum: three of four combinations are valid, whichever is priced first."""
    both = ("optimizer=sgd", "optimizer.nesterov=choice(true,false)", "optimizer.momentum=choice(0.0,0.9)")
    for given in (both, (both[0], both[2], both[1])):
        proposer, pricer, space = make(*BASE, *given, "budget.params=60000")
        check_choices(space, pricer, proposer.check())
        trials = proposed(proposer, space, 3, lambda _: (0.5,))
        assert not [t for t in trials if t.params["optimizer.nesterov"] and t.params["optimizer.momentum"] == 0]
        assert proposer.propose(trials, 3) is None


def test_widths_that_depend_on_each_other_are_valid(make: Make) -> None:
    """Of model50k's skips: the widths that conv2, conv4 and conv6 may have are the multiples of one other width."""
    widths = [f"model.layers.conv{number}.channels=range(16,97,step=8)" for number in range(1, 7)]
    proposer, pricer, space = make("model=model50k", "data=synthetic", *widths, "budget.params=50000")
    valid = proposer.valid()
    assert valid is not None
    check_choices(space, pricer, valid)


def test_where_nothing_fits_the_nearest_is_named_within_seconds(make: Make) -> None:
    proposer, _, _ = make(*BASE, *WIDTHS, "budget.params=5000")
    began = time.monotonic()
    with pytest.raises(UserError, match=r"is within the budget; the nearest:\n[\d,]+ params, budget.params=5,000"):
        proposer.check()
    assert time.monotonic() - began < 8


def test_shapes_that_never_fit_are_reported_with_their_reason(make: Make) -> None:
    proposer, _, _ = make("model=model50k", "data=synthetic", "++model.layers.conv1.channels=choice(48,40)")
    with pytest.raises(UserError, match="the skip from 'conv1'"):
        proposer.check()


def test_fill_takes_the_largest_width_that_fits(make: Make) -> None:
    key = "model.layers.conv7.channels"
    proposer, pricer, space = make(*BASE, *WIDTHS[:6], f"++{key}=range(8,301)", "budget.params=50000", fill=key)
    for trial in proposed(proposer, space, 13, lambda candidate: (score(candidate),)):
        width = trial.params[key]
        assert pricer.price(trial.params).fits
        assert width == 300 or not pricer.price({**trial.params, key: width + 1}).fits


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


SWEEPS = sorted((conf_dir() / "sweep").glob("*.yaml"))


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_each_shipped_sweep_has_candidates_that_fit(path: Path, make: Make) -> None:
    file = yaml.safe_load(path.read_text())
    given = file["hydra"]["sweeper"]
    overrides = [f"++{key}={value}" for key, value in given["params"].items()]
    budget = [f"budget.{name}={limit}" for name, limit in file["budget"].items()]
    more = {key: given[key] for key in ("direction", "objectives", "fill") if key in given}
    proposer, pricer, space = make(f"model={file['model']}", "data=synthetic", *budget, *overrides, **more)
    assert pricer.price(proposer.check()).fits
    for trial in proposed(proposer, space, 5, lambda _: tuple(0.5 for _ in settings(**more).directions)):
        costs = pricer.costs(trial.params)
        assert all(costs[name] <= limit for name, limit in file["budget"].items())

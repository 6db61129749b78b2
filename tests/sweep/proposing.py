"""Spaces to propose candidates of, and trials that only have a score."""

from collections.abc import Callable
from math import log
from random import Random
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from cifar_exp.sweep.search.pricing import PlanPricer
from cifar_exp.sweep.search.proposals import Proposer
from cifar_exp.sweep.search.space import Candidate, Space
from cifar_exp.sweep.settings import SweepSettings, parse_settings

WIDTHS = tuple(f"++model.layers.conv{number}.channels=range(16,129,step=8)" for number in range(1, 8))
BASE = ("model=model50k", "data=synthetic", "++model.layer.projection=conv1x1")
LEARNED = 0.4  # by which the mean score of learned proposals exceeds that of random ones: half a standard deviation

Make = Callable[..., tuple[Proposer, PlanPricer, Space]]


def settings(sampler: str = "tpe", **more: Any) -> SweepSettings:
    return parse_settings(
        {"n_trials": 9, "study_name": "s", "sampler": {"name": sampler}, "pruner": {"name": "none"}, **more}
    )


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

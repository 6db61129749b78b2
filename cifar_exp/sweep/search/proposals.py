"""The next candidate: within the budget, new, and where the sampler expects most."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from itertools import islice, product
from math import inf
from random import Random
from time import monotonic
from typing import Any

import optuna
from optuna.distributions import IntDistribution
from optuna.trial import FrozenTrial, TrialState

from cifar_exp.errors import UserError
from cifar_exp.sweep.search.checks import check_choices
from cifar_exp.sweep.search.feasible import FeasibleDraws
from cifar_exp.sweep.search.history import History
from cifar_exp.sweep.search.pricing import Costs, Price, Pricer
from cifar_exp.sweep.search.samplers import ASKS, DEFAULT_ASKS, WithinBudgetSampler, build_sampler, distribution_for
from cifar_exp.sweep.search.space import Candidate, Space, Swept
from cifar_exp.sweep.settings import SweepSettings

SEARCH_SECONDS = 3.0  # for a candidate within the budget by chance, before the space is said to have none
CORNERS = 4096  # smallest candidates that are priced to find out whether anything fits
SAMPLES = 4  # candidates whose common error is taken for one of the config
NEAR = 5  # the best trials, towards which a rejected proposal is moved
STARTS = 50  # the latest trials, from which a walk may start
DRAWS = 8  # random candidates of which the one with the most of a preferred cost is proposed


@dataclass(frozen=True)
class Proposal:
    """A candidate within the budget, and what finding it took."""

    candidate: Candidate
    costs: Costs
    model: dict[str, Any] | None  # as plain data; None of an application without one
    priced: int  # candidates drawn
    within_budget: int  # of them
    notes: dict[str, Any]  # what the sampler wants to find in the trial again


class ExhaustedError(Exception):
    """Every candidate within the budget has been tried."""


class Proposer:
    """Propose candidates of a space that are within the budget."""

    def __init__(self, space: Space, pricer: Pricer, settings: SweepSettings) -> None:
        self._space = space
        self._pricer = pricer
        self._settings = settings
        self._fill = _fill_key(space, settings.fill)
        self._searched = {key: one for key, one in space.swept.items() if key != settings.fill}
        self._sampler_name = name = str(settings.sampler.get("name", "tpe"))
        self._distributions = {key: distribution_for(name, one.distribution) for key, one in self._searched.items()}
        self._history = History(self._distributions, settings, pricer)
        self._draws = FeasibleDraws(self._searched, pricer.keys, lambda drawn: self._completed(drawn)[1].fits)
        self._priced = self._within_budget = 0
        self._anchor: Candidate | None = None  # a candidate within the budget

    def check(self) -> Candidate:
        """Check the space before the first trial; return a candidate within the budget.

        Raises:
            UserError: wrong settings of the sampler, a config that is invalid whatever the candidate, a choice that can
                never be trained, or a space with nothing within the budget, with the nearest candidate.
        """
        self._sampler(0)
        if self._is_grid:
            self._grid()
        self._check_config()
        valid, nearest = self._look()
        if valid is not None:
            check_choices(self._space, self._pricer, valid)
        return self._within(nearest)

    def _within(self, nearest: Price | None) -> Candidate:
        if self._anchor is None:
            reason = "none could be drawn" if nearest is None else nearest.reason
            raise UserError(f"hydra.sweeper.params: nothing in this space is within the budget; the nearest:\n{reason}")
        return self._anchor

    def _look(self) -> tuple[Candidate | None, Price | None]:
        """Look for a candidate within the budget: the smallest if it is, else one found by chance.

        Returns:
            A candidate that could be trained were there no budget, and the price nearest to the budget.
        """
        valid, nearest = None, None
        for drawn in self._first_looks():
            candidate, price = self._completed(drawn)
            if price.fits:
                self._anchor = candidate
                return candidate, price
            if valid is None and self._pricer.error(candidate) is None:
                valid = candidate
            nearest = price if nearest is None or price.excess < nearest.excess else nearest
        return valid, nearest

    def _first_looks(self) -> Iterator[Candidate]:
        yield from self._corners()
        random, deadline = Random(0), monotonic() + SEARCH_SECONDS
        while monotonic() < deadline:
            yield self._draws.uniform(random)

    def _check_config(self) -> None:
        """Raise UserError where several candidates have one error, which is one of the config then."""
        random, errors = Random(0), set[str | None]()
        for drawn in (*islice(self._corners(), SAMPLES), *(self._draws.uniform(random) for _ in range(SAMPLES))):
            errors.add(self._pricer.error(self._completed(drawn)[0]))
            if None in errors or len(errors) > 1:
                return
        raise UserError(str(errors.pop()))

    def propose(self, trials: Sequence[FrozenTrial], seed: int | None) -> Proposal | None:
        """Return the next candidate after `trials`, those of the study so far, running ones included.

        None where every candidate within the budget has been tried.
        """
        self._priced = self._within_budget = 0
        tried = {self._identity(trial.params) for trial in trials}
        if self._is_grid:
            return self._next_of_grid(tried)
        try:
            candidate, notes = self._proposed(trials, Random(seed), tried)
        except ExhaustedError:
            return None
        return self._proposal(self._completed(candidate)[0], notes)

    @property
    def _is_grid(self) -> bool:
        return self._sampler_name == "grid"

    def _proposal(self, candidate: Candidate, notes: dict[str, Any]) -> Proposal:
        pricer = self._pricer
        costs, model = pricer.costs(candidate), pricer.model(candidate)
        return Proposal(candidate, costs, model, self._priced, self._within_budget, notes)

    def known(self, candidate: Candidate) -> Proposal:
        """Return a candidate that has been proposed before."""
        self._priced = self._within_budget = 1
        return self._proposal(candidate, {})

    def _proposed(
        self, trials: Sequence[FrozenTrial], random: Random, tried: set[Any]
    ) -> tuple[Candidate, dict[str, Any]]:
        """Return the sampler's candidate and its notes; raises ExhaustedError."""
        single = {key: one.values[0] for key, one in self._searched.items() if one.distribution.single()}
        starts = self._starts(trials)

        def is_new(drawn: Candidate) -> bool:
            return self._identity(self._completed(drawn)[0]) not in tried

        def accepts(sampled: Candidate) -> bool:
            drawn = {**self._rounded(sampled), **single}
            return self._counted(drawn) and is_new(drawn)

        def fallback(rejected: Candidate | None) -> Candidate:
            if rejected is not None:
                moved = self._moved_within(
                    {**self._rounded(rejected), **single}, random.choice(starts[: NEAR + 1]), random
                )
                if is_new(moved):
                    return moved
            return self._preferred(lambda: self._draws.new(random, starts, is_new, self._counted))

        wrapped = self._sampler(random.randrange(2**31))
        if wrapped is None or not self._searched:
            return fallback(None), {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            asks = ASKS.get(self._sampler_name, DEFAULT_ASKS)
            searched = {key: one for key, one in self._distributions.items() if key not in single}
            asked, notes = self._history.ask(trials, WithinBudgetSampler(wrapped, asks, accepts, fallback, searched))
        return self._rounded(asked), notes

    def _preferred(self, draw: Callable[[], Candidate | None]) -> Candidate:
        """Return the draw with the most of the preferred cost among several; raises ExhaustedError."""
        cost = self._settings.prefer
        draws = islice(iter(draw, None), DRAWS if cost else 1)
        found = max(draws, key=self._amount_of(cost), default=None) if cost else next(draws, None)
        if found is None:
            raise ExhaustedError
        return found

    def _amount_of(self, cost: str) -> Callable[[Candidate], int]:
        return lambda drawn: self._pricer.costs(self._completed(drawn)[0], [cost]).get(cost) or 0

    def _rounded(self, sampled: Candidate) -> Candidate:
        return {key: self._searched[key].nearest(value) for key, value in sampled.items()}

    def _starts(self, trials: Sequence[FrozenTrial]) -> list[Candidate]:
        """Return candidates within the budget: one that is known from the start, and the trials, the best first."""
        anchor = self._anchor or self._within(self._look()[1])
        sign = -1 if self._settings.directions[0] == "maximize" else 1
        complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
        best = nsmallest(NEAR, complete, key=lambda trial: sign * trial.values[0])
        first = [one for one in map(self._own, best) if one is not None]
        others = [one for one in map(self._own, trials[-STARTS:]) if one is not None]
        return [*first, {key: anchor[key] for key in self._searched}, *others]

    def _own(self, trial: FrozenTrial) -> Candidate | None:
        """Return a trial's values of the searched keys, None where they are not of this space or over its budget."""
        if not self._searched.keys() <= trial.params.keys():
            return None
        drawn = {key: trial.params[key] for key in self._searched}
        is_of_space = all(one.contains(drawn[key]) for key, one in self._searched.items())
        return drawn if is_of_space and self._completed(drawn)[1].fits else None

    def _moved_within(self, rejected: Candidate, inside: Candidate, random: Random) -> Candidate:
        """Take values of a candidate within the budget over, key by key in random order, until it is within too."""
        for key in random.sample(list(self._searched), len(self._searched)):
            rejected = {**rejected, key: inside[key]}
            if self._completed(rejected)[1].fits:
                break
        return rejected

    def _next_of_grid(self, tried: set[Any]) -> Proposal | None:
        """Return the first within the budget that has not been tried; those after the last trial are counted."""
        for drawn in self._grid():
            candidate, price = self._completed(drawn)
            if price.fits and self._identity(candidate) in tried:
                self._priced = self._within_budget = 0
                continue
            self._priced += 1
            self._within_budget += price.fits
            if price.fits:
                return self._proposal(candidate, {})
        return None

    def _grid(self) -> Iterator[Candidate]:
        values = [one.values for one in self._searched.values()]
        return (dict(zip(self._searched, combination, strict=True)) for combination in product(*values))

    def _sampler(self, seed: int) -> optuna.samplers.BaseSampler | None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of options that are experimental
            return build_sampler(self._settings.sampler, seed)

    def _counted(self, drawn: Candidate) -> bool:
        """Return whether a draw is within the budget, for the fraction that is reported."""
        fits = self._completed(drawn)[1].fits
        self._priced += 1
        self._within_budget += fits
        return fits

    def _completed(self, drawn: Candidate) -> tuple[Candidate, Price]:
        """Return the candidate with the filled width as large as the budget allows, and its price."""
        if self._fill is None:
            return drawn, self._pricer.price(drawn)
        values, low, high = self._fill.values, -1, len(self._fill.values)
        while high - low > 1:
            middle = (low + high) // 2
            price = self._filled(drawn, values[middle])[1]
            if price.excess == inf:  # invalid: larger and smaller widths may be valid
                return self._filled_by_trying(drawn, price)
            low, high = (middle, high) if price.fits else (low, middle)
        return self._filled(drawn, values[max(low, 0)])

    def _filled_by_trying(self, drawn: Candidate, misfit: Price) -> tuple[Candidate, Price]:
        assert self._fill is not None
        values = self._fill.values
        ends = [self._filled(drawn, value) for value in (values[0], values[-1])]
        if all(price.reason == misfit.reason for _, price in ends):  # it is not the filled width that does not fit
            return ends[0]
        tried = [self._filled(drawn, value) for value in reversed(values)]
        return next((one for one in tried if one[1].fits), min(tried, key=lambda one: one[1].excess))

    def _filled(self, drawn: Candidate, value: Any) -> tuple[Candidate, Price]:
        assert self._fill is not None
        candidate = {key: drawn.get(key, value) for key in self._space.swept}
        return candidate, self._pricer.price(candidate)

    def _corners(self) -> Iterator[Candidate]:
        """Return the smallest value of every ordered key, with every combination of the others that matter."""
        rest = self._draws.uniform(Random(0))
        matter = [self._space.swept[key] for key in self._pricer.keys if key in self._searched]
        choices = [one.distribution.choices for one in matter if not one.numeric]  # type: ignore[attr-defined]
        unordered = [one.key for one in matter if not one.numeric]
        lowest = {one.key: one.distribution.low for one in matter if one.numeric}  # type: ignore[attr-defined]
        for chosen in islice(product(*choices), CORNERS):
            yield {**rest, **lowest, **dict(zip(unordered, chosen, strict=True))}

    def _identity(self, params: Candidate) -> Any:
        swept = self._space.swept.items()
        return tuple(repr(one.plain(params.get(key)) if one.numeric else params.get(key)) for key, one in swept)


def _fill_key(space: Space, key: str | None) -> Swept | None:
    """Return the width to fill; none where an override of the user's gives that width one value for all trials."""
    if key is None or key in space.fixed_values:
        return None
    if key not in space.swept:
        known = ", ".join(space.swept) or "none"
        raise UserError(f"hydra.sweeper.fill: '{key}' is not swept; give it a range. Swept keys: {known}.")
    if not key.startswith("model.") or not isinstance(space.swept[key].distribution, IntDistribution):
        raise UserError(f"hydra.sweeper.fill: '{key}' must be a width of the model with a range of integers.")
    return space.swept[key]

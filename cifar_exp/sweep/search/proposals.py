"""The next candidate: within the budget, new where there are new ones, and where the sampler hopes for most."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice, product
from math import inf
from random import Random
from time import monotonic
from typing import Any

import optuna
from optuna.distributions import IntDistribution
from optuna.trial import FrozenTrial, TrialState

from cifar_exp.errors import UserError
from cifar_exp.sweep.search.pricing import Price, Pricer
from cifar_exp.sweep.search.samplers import Pool, build_sampler, startup_trials
from cifar_exp.sweep.search.space import Candidate, Space, Swept
from cifar_exp.sweep.settings import SweepSettings

ASKS = 30  # of the sampler, before what fits is drawn uniformly
NEW_DRAWS = 200  # fitting draws among which a new one is looked for; a small space may have none
SEARCH_SECONDS = 3.0  # for a fitting one by chance, before one is made to fit
CORNERS = 4096  # smallest candidates that are priced to find out whether anything fits
LOOKS = 8  # at candidates, before a mistake that all of them have is taken for one of the config
POOL = 512  # candidates among which the GP chooses

_SAMPLERS_OWN = ("tpe:", "gp:", "constraints")  # a scratch trial's notes that its real one does not need


@dataclass(frozen=True)
class Proposal:
    """A candidate that fits, and what finding it took."""

    candidate: Candidate
    price: Price
    priced: int  # candidates looked at
    fitted: int  # of them, those within the budget
    notes: dict[str, Any]  # what the sampler wants to find in the trial again


class Proposer:
    """Draws candidates of a space, prices them, and proposes those that fit."""

    def __init__(self, space: Space, pricer: Pricer, settings: SweepSettings) -> None:
        self._space = space
        self._pricer = pricer
        self._settings = settings
        self._fill = _fill_key(space, settings.fill)
        self._searched = {key: one for key, one in space.distributions.items() if key != settings.fill}
        self._priced = self._fitted = 0
        self._anchor: Candidate | None = None

    def check(self) -> Candidate:
        """A candidate that fits: the smallest if it does, else one found by chance.

        Raises UserError where nothing fits, saying how far off the nearest is, and for a sampler that is none.
        """
        self._sampler(0, list)
        if self._settings.sampler.get("name") == "grid":
            self._grid()
        self._check_config()
        nearest: Price | None = None
        for corner in self._corners():
            candidate, price = self._completed(corner)
            if price.fits:
                self._anchor = candidate
                return candidate
            nearest = price if nearest is None or price.excess < nearest.excess else nearest
        random, deadline = Random(0), monotonic() + SEARCH_SECONDS
        while monotonic() < deadline:
            candidate, price = self._completed(self._draw(random))
            if price.fits:
                self._anchor = candidate
                return candidate
            nearest = price if nearest is None or price.excess < nearest.excess else nearest
        raise UserError(f"hydra.sweeper.params: nothing in this space fits; the nearest candidate:\n{_reason(nearest)}")

    def _check_config(self) -> None:
        """Raises UserError where the config cannot be made whatever the candidate, with the mistake in it."""
        random = Random(0)
        reasons = set()
        for drawn in (*islice(self._corners(), LOOKS), *(self._draw(random) for _ in range(LOOKS))):
            price = self._completed(drawn)[1]
            reasons.add(price.reason)
            if price.is_of_network or len(reasons) > 1:
                return
        raise UserError(str(reasons.pop()))

    def propose(self, trials: Sequence[FrozenTrial], seed: int | None) -> Proposal | None:
        """The next candidate after `trials`, which are those of the study so far, running ones included.

        None where a grid has no more.
        """
        self._priced = self._fitted = 0
        random = Random(seed)
        tried = {self._identity(trial.params) for trial in trials}
        if self._settings.sampler.get("name") == "grid":
            return self._next_of_grid(tried)
        candidate: Candidate | None = None
        notes: dict[str, Any] = {}
        ended = sum(trial.state in (TrialState.COMPLETE, TrialState.PRUNED) for trial in trials)
        if self._searched and ended >= startup_trials(self._settings.sampler):
            candidate, notes = self._ask(trials, random, tried)
        if candidate is None:
            candidate = self._drawn(random, tried)
        return self._proposal(candidate, notes)

    def _proposal(self, candidate: Candidate, notes: dict[str, Any]) -> Proposal:
        return Proposal(candidate, self._pricer.price(candidate), self._priced, self._fitted, notes)

    def _next_of_grid(self, tried: set[Any]) -> Proposal | None:
        """The first that fits and has not been tried; those since the last one that was tried are counted."""
        for drawn in self._grid():
            candidate, price = self._completed(drawn)
            if price.fits and self._identity(candidate) in tried:
                self._priced = self._fitted = 0
                continue
            self._priced += 1
            self._fitted += price.fits
            if price.fits:
                return self._proposal(candidate, {})
        return None

    def _grid(self) -> Iterator[Candidate]:
        values = [self._space.swept[key].values for key in self._searched]
        return (dict(zip(self._searched, combination, strict=True)) for combination in product(*values))

    def _ask(
        self, trials: Sequence[FrozenTrial], random: Random, tried: set[Any]
    ) -> tuple[Candidate | None, dict[str, Any]]:
        """What the sampler proposes, None if nothing new of it fits, and its notes."""
        notes: dict[str, Any] = {}
        sampler = self._sampler(random.randrange(2**31), partial(self._pool, trials, random))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            study = optuna.create_study(directions=self._settings.directions, sampler=sampler)
            study.add_trials(self._rewritten(trials))
            for _ in range(ASKS):
                asked = study.ask(self._searched)
                attrs = study.get_trials(deepcopy=False)[asked.number].system_attrs
                notes = {key: value for key, value in attrs.items() if not key.startswith(_SAMPLERS_OWN)}
                candidate, price = self._judged(dict(asked.params))
                if price.fits and self._identity(candidate) not in tried:
                    return candidate, notes
                study.tell(asked, state=TrialState.FAIL)
        return None, notes

    def _sampler(self, seed: int, pool: Pool) -> optuna.samplers.BaseSampler:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of options that are experimental
            return build_sampler(self._settings.sampler, seed, self._searched, self._fits, pool)

    def _rewritten(self, trials: Sequence[FrozenTrial]) -> Iterator[FrozenTrial]:
        """The trials as the sampler shall see them: the searched keys alone; those that wait are under way."""
        for trial in trials:
            if trial.state == TrialState.FAIL or not self._searched.keys() <= trial.params.keys():
                continue
            ended = trial.state.is_finished()
            try:
                yield optuna.create_trial(
                    state=trial.state if ended else TrialState.RUNNING,
                    values=trial.values if ended else None,
                    params={key: trial.params[key] for key in self._searched},
                    distributions=dict(self._searched),
                    system_attrs=trial.system_attrs,
                    intermediate_values=trial.intermediate_values,
                )
            except ValueError:  # of a range that has been narrowed since
                continue

    def _drawn(self, random: Random, tried: set[Any]) -> Candidate:
        """A uniform draw that fits, a new one if there is one; made to fit where chance finds none."""
        deadline = monotonic() + SEARCH_SECONDS
        found: Candidate | None = None
        fitting = 0
        while monotonic() < deadline and fitting < NEW_DRAWS:
            candidate, price = self._judged(self._draw(random))
            if not price.fits:
                continue
            if self._identity(candidate) not in tried:
                return candidate
            found, fitting = candidate, fitting + 1
        return found or self._repaired(self._draw(random), random)

    def _repaired(self, candidate: Candidate, random: Random) -> Candidate:
        """Takes over values of one that fits, key by key in random order, until the candidate does too."""
        anchor = self._anchor or self.check()
        for key in random.sample(list(self._searched), len(self._searched)):
            candidate = {**candidate, key: anchor[key]}
            completed, price = self._completed(candidate)
            if price.fits:
                return completed
        return anchor

    def _pool(self, trials: Sequence[FrozenTrial], random: Random) -> list[Candidate]:
        """Candidates that fit: uniform ones, and neighbours of the trials that went best."""
        deadline = monotonic() + SEARCH_SECONDS
        known = [trial for trial in trials if trial.state == TrialState.COMPLETE]
        sign = -1 if self._settings.directions[0] == "maximize" else 1
        known.sort(key=lambda trial: sign * trial.values[0])
        best = [{key: trial.params[key] for key in self._searched} for trial in known[:5]]
        pool = best[:1]
        while len(pool) < POOL and (monotonic() < deadline or not pool):
            drawn = self._draw(random)
            if best and random.random() < 0.5:
                changed = random.sample(list(drawn), min(len(drawn), random.randint(1, 3)))
                drawn = {**random.choice(best), **{key: drawn[key] for key in changed}}
            if self._fits(drawn):
                pool.append(drawn)
        return pool

    def _fits(self, drawn: Candidate) -> bool:
        return self._judged(drawn)[1].fits

    def _judged(self, drawn: Candidate) -> tuple[Candidate, Price]:
        candidate, price = self._completed(drawn)
        self._priced += 1
        self._fitted += price.fits
        return candidate, price

    def _completed(self, drawn: Candidate) -> tuple[Candidate, Price]:
        """The candidate with the filled width as large as fits, and its price."""
        if self._fill is None:
            return drawn, self._pricer.price(drawn)
        values, low, high = self._fill.values, -1, len(self._fill.values)
        while high - low > 1:
            middle = (low + high) // 2
            price = self._filled(drawn, values[middle])[1]
            if price.excess == inf:  # shapes that do not fit say nothing of larger and smaller widths
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

    def _draw(self, random: Random) -> Candidate:
        return {key: self._space.swept[key].draw(random) for key in self._searched}

    def _corners(self) -> Iterator[Candidate]:
        """The smallest value of every ordered key, with every combination of the others that matter."""
        rest = self._draw(Random(0))
        matter = [self._space.swept[key] for key in self._pricer.keys if key in self._searched]
        choices = [one.distribution.choices for one in matter if not one.numeric]  # type: ignore[attr-defined]
        unordered = [one.key for one in matter if not one.numeric]
        lowest = {one.key: one.distribution.low for one in matter if one.numeric}  # type: ignore[attr-defined]
        for chosen in islice(product(*choices), CORNERS):
            yield {**rest, **lowest, **dict(zip(unordered, chosen, strict=True))}

    def _identity(self, params: Candidate) -> Any:
        return tuple(repr(params.get(key)) for key in self._space.swept)


def _fill_key(space: Space, key: str | None) -> Swept | None:
    if key is None:
        return None
    if key not in space.swept:
        known = ", ".join(space.swept) or "none"
        raise UserError(f"hydra.sweeper.fill: '{key}' is not swept; give it a range. Swept keys: {known}.")
    if not key.startswith("model.") or not isinstance(space.swept[key].distribution, IntDistribution):
        raise UserError(f"hydra.sweeper.fill: '{key}' must be a width of the model with a range of integers.")
    if not space.swept[key].values:
        raise UserError(f"hydra.sweeper.fill: '{key}' has no values.")
    return space.swept[key]


def _reason(price: Price | None) -> str:
    return "none could be drawn" if price is None else price.reason or ""

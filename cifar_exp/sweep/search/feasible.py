"""Candidates within the budget, drawn uniformly: by rejection where many are, by a random walk where few are.

The walk is a Gibbs sampler whose conditional draws are made by shrinking (Neal 2003, "Slice sampling", section 4): one
key at a time, a value is drawn from the whole range, and the range is cut at each value that is over the budget. Its
stationary distribution is uniform among what is within the budget, however small a part of the space that is.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import islice, product
from math import prod
from random import Random
from time import monotonic

from optuna.distributions import CategoricalDistribution

from cifar_exp.errors import UserError
from cifar_exp.sweep.search.space import Candidate, Swept

REJECTIONS = 30  # uniform draws before the walk
ROUNDS = 12  # of the walk through all keys
NEW_ROUNDS = 40  # more of them for a new candidate
CATEGORICAL_TRIES = 4
FREE_TRIES = 40  # for the keys that have no part in the price
ENUMERABLE = 5000  # a space of so many candidates is searched as a whole for one that is new
SEARCH_SECONDS = 20.0

Check = Callable[[Candidate], bool]


class FeasibleDraws:
    """Draw candidates of the searched keys.

    Args:
        searched: the keys to draw.
        priced: those among them that make a difference to the price.
        fits: whether a candidate is within the budget and valid.
    """

    def __init__(self, searched: Mapping[str, Swept], priced: Collection[str], fits: Check) -> None:
        self._searched = searched
        self._priced = [key for key in searched if key in priced]
        self._free = [key for key in searched if key not in priced]
        self._fits = fits

    def uniform(self, random: Random) -> Candidate:
        """Return a candidate of the whole space."""
        return {key: swept.draw(random) for key, swept in self._searched.items()}

    def new(self, random: Random, starts: Sequence[Candidate], is_new: Check, counted: Check) -> Candidate | None:
        """Return a candidate within the budget for which `is_new` holds, None where there are no more.

        Args:
            random: the source of randomness.
            starts: candidates within the budget, from which a walk may start.
            is_new: whether a candidate has not been tried.
            counted: `fits`, for draws that count in the fraction of candidates within the budget.
        """
        for _ in range(REJECTIONS):
            drawn = self.uniform(random)
            if counted(drawn) and is_new(drawn):
                return drawn
        walked = random.choice(starts)
        for step in range(ROUNDS + NEW_ROUNDS):
            walked = self._round(walked, random)
            if step >= ROUNDS - 1 and is_new(walked):
                return walked
        return self._searched_for(starts, is_new, random)

    def _round(self, candidate: Candidate, random: Random) -> Candidate:
        for key in random.sample(self._priced, len(self._priced)):
            candidate = self._moved(candidate, key, random)
        for _ in range(FREE_TRIES):
            drawn = {**candidate, **{key: self._searched[key].draw(random) for key in self._free}}
            if self._fits(drawn):
                return drawn
        return candidate

    def _moved(self, candidate: Candidate, key: str, random: Random) -> Candidate:
        """Return the candidate with another value of one key, uniform among those within the budget."""
        swept = self._searched[key]
        if not swept.numeric:
            tries = ({**candidate, key: swept.draw(random)} for _ in range(CATEGORICAL_TRIES))
            return next((moved for moved in tries if self._fits(moved)), candidate)
        here = swept.position(candidate[key])
        low, high = swept.positions
        while low <= high:
            position = swept.draw_position(random, low, high)
            moved = {**candidate, key: swept.at(position)}
            if position == here or self._fits(moved):
                return moved
            if position > here:
                high = swept.before(position)
            else:
                low = swept.after(position)
        return candidate

    def _searched_for(self, starts: Sequence[Candidate], is_new: Check, random: Random) -> Candidate | None:
        """Return a new candidate found by looking at all of a small space, or at all neighbours of what is known."""
        deadline = monotonic() + SEARCH_SECONDS
        try:
            values = {key: list(swept.values) for key, swept in self._searched.items()}
        except UserError:  # an interval of reals, in which the walk finds a new value
            return None
        size = prod(len(one) for one in values.values())
        candidates = self._all(values, random) if size <= ENUMERABLE else self._connected(starts, values)
        for candidate in candidates:
            if is_new(candidate) and self._fits(candidate):
                return candidate
            if monotonic() > deadline:
                return None
        return None

    def _all(self, values: Mapping[str, list[object]], random: Random) -> Iterator[Candidate]:
        shuffled = [random.sample(one, len(one)) for one in values.values()]
        return (dict(zip(values, combination, strict=True)) for combination in product(*shuffled))

    def _connected(self, starts: Sequence[Candidate], values: Mapping[str, list[object]]) -> Iterator[Candidate]:
        """Return all that is within the budget and can be reached from `starts` by changing one key by one step."""
        queue, seen = deque(starts), {tuple(start.items()) for start in starts}
        while queue:
            here = queue.popleft()
            for key, possible in values.items():
                place = possible.index(here[key])
                is_categorical = isinstance(self._searched[key].distribution, CategoricalDistribution)
                near = possible if is_categorical else islice(possible, max(0, place - 1), place + 2)
                for value in near:
                    moved = {**here, key: value}
                    if tuple(moved.items()) not in seen:
                        seen.add(tuple(moved.items()))
                        if self._fits(moved):
                            queue.append(moved)
                            yield moved

"""Each choice of the space, checked by itself before the first trial."""

from collections.abc import Iterator
from random import Random
from typing import Any

from cifar_exp.errors import UserError
from cifar_exp.sweep.search.pricing import Pricer
from cifar_exp.sweep.search.space import Candidate, Space, Swept

# Candidates in which a choice is tried, before it is taken for one that never works:
VALUES = 64  # of each other key, one key changed at a time
CONTEXTS = 24  # random ones


def check_choices(space: Space, pricer: Pricer, valid: Candidate) -> None:
    """Check that every choice, and both ends of every range, is valid with some values of the other keys.

    Args:
        space: the search space.
        pricer: its prices.
        valid: a candidate that is valid.

    Raises:
        UserError: a choice that can never be composed, with the reason.
    """
    for swept in space.swept.values():
        for value in _own_values(swept):
            candidate = {**valid, swept.key: value}
            if all(pricer.error(one) for one in _contexts(space, candidate, swept.key)):
                reason = str(pricer.error(candidate))
                is_named = any(reason.startswith((f"{key}:", f"{key}=", f"{key}.")) for key in space.swept)
                raise UserError(reason if is_named else f"{swept.override(value)}: can never be trained:\n{reason}")


def _own_values(swept: Swept) -> list[Any]:
    if not swept.numeric:
        return swept.values
    low, high = swept.positions
    return [swept.at(low), swept.at(high)]


def _contexts(space: Space, candidate: Candidate, fixed: str) -> Iterator[Candidate]:
    """Yield the candidate; it with one other value each, as widths that depend on each other need; random ones."""
    yield candidate
    random = Random(0)
    for key, one in space.swept.items():
        if key != fixed:
            values = _own_values(one) if one.is_continuous else one.values
            yield from ({**candidate, key: value} for value in random.sample(values, min(len(values), VALUES)))
    for _ in range(CONTEXTS):
        yield {key: candidate[key] if key == fixed else one.draw(random) for key, one in space.swept.items()}

"""Each choice of the space, checked by itself before the first trial."""

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from omegaconf import DictConfig

from cifar_exp.errors import UserError, did_you_mean
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
            if not any(pricer.price(one).is_valid for one in _contexts(space, candidate, swept.key)):
                reason = pricer.explain(candidate) or "never valid"
                raise UserError(f"{swept.override(value)}: can never be trained:\n{reason}")


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


def check_layers_exist(space: Space, compose: Callable[[list[str]], DictConfig]) -> None:
    """Check that every swept key of a layer exists in each model of a swept `model`.

    Raises:
        UserError: a layer that one of the models lacks; Hydra would add it to that model.
    """
    models = space.swept.get("model")
    keys = [key for key, one in space.swept.items() if key.startswith("model.layers.") and one.prefix != "+"]
    for value in models.values if models is not None and keys else ():
        layers = compose(space.overrides({"model": value})).model.layers
        for key in keys:
            name = key.split(".")[2]
            if name not in layers:
                raise UserError(
                    f"{key}: model={value} has no layer '{name}'.{did_you_mean(name, layers)} Sweep keys that "
                    f"all models have, or each model in a sweep of its own.\nIts layers: {', '.join(layers)}."
                )

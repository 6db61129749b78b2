"""What a candidate costs and whether it can be trained: from its plan, without weights, thousands per second."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from math import inf
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError

from cifar_exp.config.messages import listing, schema_errors
from cifar_exp.config.parse import parse, plain
from cifar_exp.config.schema import TrainConfig
from cifar_exp.data.describe import DataInfo, describe
from cifar_exp.errors import UserError
from cifar_exp.network.cost import COSTS, Budget, costs_of
from cifar_exp.network.firmware import unsupported_feature
from cifar_exp.network.plan import Plan
from cifar_exp.network.planner import plan_network
from cifar_exp.network.spec import ModelSpec
from cifar_exp.sweep.search.space import Candidate, Space

Compose = Callable[[list[str]], DictConfig]
Costs = Mapping[str, int | None]
REMEMBERED, REMEMBERED_BASES = 4096, 64


@dataclass(frozen=True)
class Price:
    """Whether a candidate is within the budget. `reason` is why it cannot be trained, None if it can."""

    reason: str | None = None
    excess: float = -1.0  # relative to the budget: the largest cost / limit - 1; infinite for an invalid config

    @property
    def fits(self) -> bool:
        """Whether the candidate is valid and within the budget."""
        return self.reason is None

    @property
    def is_valid(self) -> bool:
        """Whether the candidate could be trained, were there no budget."""
        return self.excess < inf


class Pricer:
    """Prices candidates; this one those of an application without a `model`, all of which fit."""

    keys: Collection[str] = ()  # the swept keys that make a difference to the price

    def price(self, candidate: Candidate) -> Price:
        """Return the candidate's price."""
        return Price()

    def error(self, candidate: Candidate) -> str | None:
        """Return why a candidate could not be trained, were there no budget; None if it could."""
        return None

    def costs(self, candidate: Candidate, keys: Iterable[str] = COSTS) -> Costs:
        """Return costs of a candidate, also those that no limit concerns; empty where it is invalid."""
        return {}

    def model(self, candidate: Candidate) -> dict[str, Any] | None:
        """Return the model that the candidate's trial will have, as plain data."""
        return None


Path = tuple[str, ...]
Link = tuple[Path, Path]  # a place in the model, and the place whose value it has


@dataclass
class _Base:
    """What all candidates with the same choice of groups have in common."""

    config: DictConfig
    values: dict[str, Any]  # the whole config, resolved
    links: list[Link] | None  # None: more than plain references within the model, left to OmegaConf
    budget: Budget
    data: DataInfo


class PlanPricer(Pricer):
    """Prices by planning: Hydra composes once for each choice of groups, then values are put into its model.

    The network is priced first; a candidate whose network is within the budget is then checked as a whole config.
    """

    def __init__(self, space: Space, compose: Compose, groups: Collection[str]) -> None:
        self._space = space
        self._compose = compose
        self._model_keys = [key for key in space.swept if key.startswith("model.")]
        self._composed_keys = [key for key in space.swept if _is_composed(key, groups)]
        self._bases: dict[tuple[Any, ...], _Base] = {}
        self._prices: dict[tuple[Any, ...], Price] = {}
        self._latest: tuple[tuple[Any, ...], Plan] | None = None  # network within the budget
        plain_choices = (plain for one in space.swept.values() for _, plain in one.choices.values())
        self._chooses_references = any("${" in str(plain) for plain in plain_choices)
        self._refers = False  # whether a model refers to keys outside of it, any of which then makes a difference
        self.keys: Collection[str] = [*self._composed_keys, *self._model_keys]
        self._other_keys = [key for key in space.swept if key not in self.keys]

    def price(self, candidate: Candidate) -> Price:
        """Return the candidate's price; the last few thousand are remembered."""
        network = self._of_network(candidate)
        if not network.fits:
            return network
        config = self._of_config(candidate)
        return network if config.fits else config

    def error(self, candidate: Candidate) -> str | None:
        """Return why a candidate could not be trained, were there no budget; None if it could."""
        network = self._of_network(candidate)
        return self._of_config(candidate).reason if network.is_valid else network.reason

    def _of_network(self, candidate: Candidate) -> Price:
        return self._remembered(self._network_key(candidate), lambda: self._price_of_network(candidate))

    def _network_key(self, candidate: Candidate) -> tuple[Any, ...]:
        return self._key(candidate, self._space.swept if self._refers else self.keys)

    def _of_config(self, candidate: Candidate) -> Price:
        """Return the price of what is around the network, whose keys may depend on each other."""
        if not self._other_keys:
            return Price()
        key = ("config", *self._key(candidate, self._composed_keys), *self._key(candidate, self._other_keys))
        return self._remembered(key, lambda: self._checked(candidate))

    def costs(self, candidate: Candidate, keys: Iterable[str] = COSTS) -> Costs:
        """Return costs of a candidate, also those that no limit concerns; empty where it is invalid.

        The one within the budget that was priced last is not planned again.
        """
        if not self.price(candidate).is_valid:
            return {}
        if self._latest is not None and self._latest[0] == self._network_key(candidate):
            return costs_of(self._latest[1], keys)
        return costs_of(self._planned(self._base(candidate), candidate), keys)

    def model(self, candidate: Candidate) -> dict[str, Any]:
        """Return the model that the candidate's trial will have, as plain data."""
        return deepcopy(self._filled(self._base(candidate), candidate))

    def _remembered(self, key: tuple[Any, ...], made: Callable[[], Price]) -> Price:
        if key not in self._prices:
            if len(self._prices) >= REMEMBERED:
                self._prices.pop(next(iter(self._prices)))  # the oldest
            self._prices[key] = made()
        return self._prices[key]

    def _price_of_network(self, candidate: Candidate) -> Price:
        try:
            base = self._base(candidate)
        except UserError as error:
            return Price(reason=str(error), excess=inf)
        try:
            plan = self._planned(base, candidate)
        except ValidationError as error:
            errors = schema_errors(error, ModelSpec, self._filled(base, candidate))
            return Price(reason=listing([f"model.{text}" for text in errors]), excess=inf)
        except UserError as error:
            return Price(reason=str(error), excess=inf)
        excesses = base.budget.excesses_of(plan)
        worst = max(excesses, key=lambda name: excesses[name], default="")
        excess = excesses.get(worst, -1.0)
        if excess <= 0.0:
            self._latest = (self._network_key(candidate), plan)
            return Price(excess=excess)
        cost, limit = getattr(plan, worst), base.budget.limits[worst]
        reason = unsupported_feature(plan) if cost is None else f"{cost:,} {worst}, budget.{worst}={limit:,}"
        return Price(reason, excess)

    def _planned(self, base: _Base, candidate: Candidate) -> Plan:
        spec = ModelSpec.model_validate(self._filled(base, candidate))
        return plan_network(spec, base.data.input_shape, base.data.num_classes)

    def _checked(self, candidate: Candidate) -> Price:
        values = deepcopy(self._base(candidate).values)
        for key in self._other_keys:
            _put(values, tuple(key.split(".")), self._space.swept[key].plain(candidate[key]))
        try:
            parse(TrainConfig, values)
        except UserError as error:
            return Price(reason=str(error), excess=inf)
        return Price()

    def _base(self, candidate: Candidate) -> _Base:
        """Return what the groups make of the config; a candidate whose own values are invalid has none to share."""
        key = self._key(candidate, self._composed_keys)
        if key not in self._bases:
            if len(self._bases) >= REMEMBERED_BASES:
                self._bases.pop(next(iter(self._bases)))
            self._bases[key] = self._composed(candidate)
            self._refers = self._refers or self._bases[key].links is None
        return self._bases[key]

    def _composed(self, candidate: Candidate) -> _Base:
        cfg = self._compose(self._space.overrides(candidate))
        config = parse(TrainConfig, cfg)
        return _Base(
            cfg,
            plain(cfg),
            None if self._chooses_references else _links(OmegaConf.to_container(cfg.model, resolve=False)),
            config.budget,
            describe(config.data),
        )

    def _filled(self, base: _Base, candidate: Candidate) -> dict[str, Any]:
        if base.links is None:
            for key in self._space.swept.keys() - self._composed_keys:
                OmegaConf.update(base.config, key, self._space.swept[key].plain(candidate[key]), force_add=True)
            return _resolved(base.config)
        values = {key: self._space.swept[key].plain(candidate[key]) for key in self._model_keys}
        merges = any(isinstance(value, Mapping) for value in values.values())
        model = deepcopy(base.values["model"]) if merges else base.values["model"]
        for key, value in values.items():
            _put(model, tuple(key.split(".")[1:]), value)
        for place, source in base.links:
            _put(model, place, _get(model, source))
        return model

    def _key(self, candidate: Candidate, keys: Collection[str]) -> tuple[Any, ...]:
        return tuple((type(candidate[key]), candidate[key]) for key in keys)


def _resolved(config: DictConfig) -> dict[str, Any]:
    """Return the model with what it refers to filled in."""
    try:
        model = OmegaConf.to_container(config.model, resolve=True)
    except OmegaConfBaseException as error:
        raise UserError(f"model: {str(error).splitlines()[0]}") from None
    assert isinstance(model, dict)
    return {str(key): value for key, value in model.items()}


def _is_composed(key: str, groups: Collection[str]) -> bool:
    """Return whether Hydra must compose anew for another value of `key`: a group, or what the plan depends on."""
    return key.split("@")[0] in groups or key.startswith(("data.", "budget."))


_REFERENCE = re.compile(r"\$\{model\.([\w.-]+)\}")


def _links(model: Any) -> list[Link] | None:
    """Return the plain references within the model, each after those that it depends on; None if there are others."""
    texts = {path: value for path, value in _leaves(model, ()) if isinstance(value, str) and "${" in value}
    matches = {path: _REFERENCE.fullmatch(text) for path, text in texts.items()}
    sources = {path: tuple(match[1].split(".")) for path, match in matches.items() if match is not None}
    if len(sources) < len(texts) or any("?" in path for path in texts):
        return None
    links: list[Link] = []
    while len(links) < len(sources):
        done = {place for place, _ in links}
        ready = [(p, s) for p, s in sources.items() if p not in done and (s not in sources or s in done)]
        if not ready:  # in a circle, of which OmegaConf will speak
            return None
        links += ready
    return links


def _leaves(node: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from _leaves(value, (*path, str(key)))
    elif isinstance(node, list):
        for value in node:
            yield from _leaves(value, (*path, "?"))  # of a list
    else:
        yield path, node


def _get(model: Mapping[str, Any], path: Path) -> Any:
    node: Any = model
    for part in path:
        node = node[part]
    return node


def _put(model: dict[str, Any], path: Path, value: Any) -> None:
    """Set one value, as Hydra does: a mapping is merged into what is there."""
    node = model
    for part in path[:-1]:
        if not isinstance(node.get(part), dict):
            node[part] = {}
        node = node[part]
    if isinstance(value, Mapping) and isinstance(node.get(path[-1]), dict):
        for key, inner in value.items():
            _put(node[path[-1]], (str(key),), inner)
    else:
        node[path[-1]] = value

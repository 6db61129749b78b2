"""What a candidate costs and whether it may be trained: from its plan, without weights, thousands a second."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Protocol

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError

from cifar_exp.config.parse import parse, plain
from cifar_exp.config.schema import TrainConfig
from cifar_exp.data.describe import DataInfo, describe
from cifar_exp.errors import UserError
from cifar_exp.network.cost import Budget, costs_of
from cifar_exp.network.planner import plan_network
from cifar_exp.network.spec import ModelSpec
from cifar_exp.sweep.search.space import Candidate, Space

Compose = Callable[[list[str]], DictConfig]


@dataclass(frozen=True)
class Price:
    """What one candidate costs. `reason` says why it may not be trained, None if it may."""

    costs: Mapping[str, int] = field(default_factory=dict)  # empty where there is no plan
    reason: str | None = None
    excess: float = 0.0  # how far over the budget: the largest cost / limit - 1; infinite without a plan
    is_of_network: bool = True  # whether `reason` is of the network, rather than of the config around it

    @property
    def fits(self) -> bool:
        """Whether the candidate may be trained."""
        return self.reason is None


class Pricer(Protocol):
    """Prices candidates."""

    keys: Collection[str]  # the swept keys that make a difference to the price

    def price(self, candidate: Candidate) -> Price:
        """The candidate's price."""

    def model(self, candidate: Candidate) -> dict[str, Any] | None:
        """The model that the candidate's trial will have."""


class Free:
    """For applications without a `model`: every candidate fits."""

    keys: Collection[str] = ()

    def price(self, candidate: Candidate) -> Price:
        """No cost."""
        return Price()

    def model(self, candidate: Candidate) -> None:
        """None."""


Path = tuple[str, ...]
Link = tuple[Path, Path]  # a place in the model, and the place whose value it has


@dataclass
class _Base:
    """What all candidates with the same choice of groups share."""

    config: DictConfig
    model: dict[str, Any]
    links: list[Link] | None  # None: more than plain references within the model, left to OmegaConf
    budget: Budget
    data: DataInfo


class PlanPricer:
    """Prices by planning: Hydra composes once for each choice of groups, then values are put into its model."""

    def __init__(self, space: Space, compose: Compose, groups: Collection[str]) -> None:
        self._space = space
        self._compose = compose
        self._model_keys = [key for key in space.swept if key.startswith("model.")]
        self._composed_keys = [key for key in space.swept if _is_composed(key, groups)]
        self._bases: dict[tuple[Any, ...], _Base] = {}
        self._known: dict[tuple[Any, ...], Price] = {}
        plain_choices = (plain for one in space.swept.values() for _, plain in one.choices.values())
        self._chooses_references = any("${" in str(plain) for plain in plain_choices)
        self._refers = False  # whether a model refers to keys outside of it, any of which then makes a difference
        self.keys: Collection[str] = [*self._composed_keys, *self._model_keys]

    def price(self, candidate: Candidate) -> Price:
        """The candidate's price; one that was seen before is remembered."""
        key = self._key(candidate, self._space.swept if self._refers else self.keys)
        if key not in self._known:
            self._known[key] = self._priced(candidate)
        return self._known[key]

    def model(self, candidate: Candidate) -> dict[str, Any]:
        """The model that the candidate's trial will have, as plain data."""
        return deepcopy(self._filled(self._base(candidate), candidate))

    def _priced(self, candidate: Candidate) -> Price:
        try:
            base = self._base(candidate)
        except UserError as error:
            return Price(reason=str(error), is_of_network=False, excess=float("inf"))
        try:
            spec = ModelSpec.model_validate(self._filled(base, candidate))
            plan = plan_network(spec, base.data.input_shape, base.data.num_classes)
        except ValidationError as error:
            details = error.errors()[0]
            where = ".".join(map(str, details["loc"]))
            return Price(reason=f"model.{where}: {details['msg']}", excess=float("inf"))
        except UserError as error:
            return Price(reason=str(error), excess=float("inf"))
        costs = costs_of(plan)
        exceeded = base.budget.exceeded_by(plan)
        if not exceeded:
            return Price(costs)
        over = {name: costs[name] / getattr(base.budget, name) - 1 for name in exceeded}
        worst = max(over, key=lambda name: over[name])
        limit = getattr(base.budget, worst)
        return Price(costs, f"{costs[worst]:,} {worst}, budget.{worst}={limit:,}", over[worst])

    def _base(self, candidate: Candidate) -> _Base:
        key = self._key(candidate, self._composed_keys)
        if key not in self._bases:
            self._bases[key] = self._composed(candidate)
            self._refers = self._refers or self._bases[key].links is None
        return self._bases[key]

    def _composed(self, candidate: Candidate) -> _Base:
        cfg = self._compose(self._space.overrides(candidate))
        config = parse(TrainConfig, cfg)
        return _Base(
            cfg,
            plain(cfg)["model"],
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
        model = deepcopy(base.model) if merges else base.model
        for key, value in values.items():
            _put(model, tuple(key.split(".")[1:]), value)
        for place, source in base.links:
            _put(model, place, _get(model, source))
        return model

    def _key(self, candidate: Candidate, keys: Collection[str]) -> tuple[Any, ...]:
        return tuple((type(candidate[key]), candidate[key]) for key in keys)


def _resolved(config: DictConfig) -> dict[str, Any]:
    """The model with what it refers to filled in."""
    try:
        model = OmegaConf.to_container(config.model, resolve=True)
    except OmegaConfBaseException as error:
        raise UserError(f"model: {str(error).splitlines()[0]}") from None
    assert isinstance(model, dict)
    return {str(key): value for key, value in model.items()}


def _is_composed(key: str, groups: Collection[str]) -> bool:
    """Whether Hydra must compose anew for another value of `key`: a group, or what the plan depends on."""
    return key.split("@")[0] in groups or key.startswith(("data.", "budget."))


_REFERENCE = re.compile(r"\$\{model\.([\w.-]+)\}")


def _links(model: Any) -> list[Link] | None:
    """The plain references within the model, each after those that it depends on; None if there are others."""
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
    """Sets one value, as Hydra does: a mapping is merged into what is there."""
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

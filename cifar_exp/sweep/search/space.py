"""The search space: Hydra's sweep expressions as Optuna's distributions, and a candidate as overrides again."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import exp, inf, log, nextafter
from random import Random
from typing import Any

from hydra.core.override_parser.types import (
    ChoiceSweep,
    IntervalSweep,
    Override,
    OverrideType,
    RangeSweep,
    Transformer,
)
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from cifar_exp.config.overrides import parse_overrides, written
from cifar_exp.errors import UserError

Candidate = dict[str, Any]  # a value for each swept key, as Optuna knows it
DECIMALS = 12  # of the values of a range: 0.3, not 0.30000000000000004


@dataclass(frozen=True)
class Swept:
    """One swept key."""

    key: str  # without `+`
    prefix: str  # `+` or `++`, as it was given
    distribution: BaseDistribution
    choices: Mapping[Any, tuple[str, Any]]  # of a choice: Optuna's value → Hydra's text, plain value

    def override(self, value: Any) -> str:
        """`key=value` for Hydra."""
        text = self.choices[value][0] if self.choices else written(self.plain(value))
        return f"{self.prefix}{self.key}={text}"

    def plain(self, value: Any) -> Any:
        """Return the value that the config will hold."""
        if self.choices:
            return self.choices[value][1]
        return float(f"{value:.12g}") if isinstance(value, float) else value

    @property
    def numeric(self) -> bool:
        """Whether its values have an order."""
        return not isinstance(self.distribution, CategoricalDistribution)

    @property
    def is_continuous(self) -> bool:
        """Whether it is an interval of reals, whose values cannot be listed."""
        return isinstance(self.distribution, FloatDistribution) and self.distribution.step is None

    @property
    def values(self) -> list[Any]:
        """All its values, ascending where they have an order; raises UserError for an interval of reals."""
        distribution = self.distribution
        if isinstance(distribution, CategoricalDistribution):
            return list(distribution.choices)
        if isinstance(distribution, IntDistribution):
            return list(range(distribution.low, distribution.high + 1, distribution.step))
        assert isinstance(distribution, FloatDistribution)
        if distribution.single():
            return [distribution.low]
        if distribution.step is None:
            raise UserError(f"{self.key}: expected a range such as range(16, 97, step=8), or a choice.")
        steps = round((distribution.high - distribution.low) / distribution.step)
        return [round(distribution.low + distribution.step * number, DECIMALS) for number in range(steps + 1)]

    def contains(self, value: Any) -> bool:
        """Return whether a value is one of the key's."""
        if isinstance(self.distribution, CategoricalDistribution):
            return any(value == one and type(value) is type(one) for one in self.distribution.choices)
        low, high, distribution = self._bounds()
        if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
            return False
        if distribution.log or distribution.step is None:
            return True
        steps = (value - low) / distribution.step
        return abs(round(steps) - steps) < 1e-6

    def nearest(self, value: Any) -> Any:
        """Return the integer of an integer key that is nearest to a value within its range; else the value itself."""
        if not isinstance(self.distribution, IntDistribution):
            return value
        low, step = self.distribution.low, self.distribution.step
        return low + step * round((value - low) / step)

    def draw(self, random: Random) -> Any:
        """Return a value, uniformly (in the logarithm, where the distribution is logarithmic)."""
        if isinstance(self.distribution, CategoricalDistribution):
            return random.choice(self.distribution.choices)
        return self.at(self.draw_position(random, *self.positions))

    @property
    def positions(self) -> tuple[float, float]:
        """The lowest and highest position of an ordered key: steps from the lowest value, or logarithms."""
        low, high, distribution = self._bounds()
        if distribution.log:
            is_int = isinstance(distribution, IntDistribution)
            return (log(low - 0.5), log(high + 0.5)) if is_int else (log(low), log(high))
        return (0, round((high - low) / distribution.step)) if distribution.step else (low, high)

    def draw_position(self, random: Random, low: float, high: float) -> float:
        """Return a position between two, uniformly."""
        if self._is_stepped:
            return random.randint(round(low), round(high))
        return random.uniform(low, high)

    def at(self, position: float) -> Any:
        """Return the value at a position."""
        low, high, distribution = self._bounds()
        if distribution.log:
            is_int = isinstance(distribution, IntDistribution)
            return min(high, max(low, round(exp(position)) if is_int else exp(position)))
        return round(low + distribution.step * position, DECIMALS) if distribution.step is not None else position

    def position(self, value: Any) -> float:
        """Return the position of a value."""
        low, _, distribution = self._bounds()
        if distribution.log:
            return log(value)
        return round((value - low) / distribution.step) if self._is_stepped else value

    def before(self, position: float) -> float:
        """Return the highest position below one."""
        return position - 1 if self._is_stepped else nextafter(position, -inf)

    def after(self, position: float) -> float:
        """Return the lowest position above one."""
        return position + 1 if self._is_stepped else nextafter(position, inf)

    @property
    def _is_stepped(self) -> bool:
        _, _, distribution = self._bounds()
        return not distribution.log and distribution.step is not None

    def _bounds(self) -> tuple[Any, Any, IntDistribution | FloatDistribution]:
        assert isinstance(self.distribution, IntDistribution | FloatDistribution)
        return self.distribution.low, self.distribution.high, self.distribution


class Space:
    """What the sweep varies, and the overrides that every trial gets, in the order in which they were given."""

    def __init__(self, entries: Sequence[Swept | Override]) -> None:
        self._entries = list(entries)
        self.swept = {one.key: one for one in entries if isinstance(one, Swept)}

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """Each swept key with its distribution."""
        return {key: one.distribution for key, one in self.swept.items()}

    @property
    def fixed_values(self) -> dict[str, str]:
        """Each fixed key with its value, as text."""
        fixed = [one for one in self._entries if isinstance(one, Override)]
        return {_bare_key(one): "deleted" if one.type == OverrideType.DEL else one.get_value_string() for one in fixed}

    def overrides(self, candidate: Candidate) -> list[str]:
        """Return the overrides of the candidate's trial, in Hydra's grammar; swept keys that it lacks are left out."""
        return [
            one.override(candidate[one.key]) if isinstance(one, Swept) else str(one.input_line)
            for one in self._entries
            if not isinstance(one, Swept) or one.key in candidate
        ]


def build_space(expressions: Sequence[Override]) -> Space:
    """Return the space of parsed overrides; a later one of the same key replaces an earlier one, whatever its `+`.

    Raises:
        UserError: an expression that cannot be searched.
    """
    latest: dict[str, Override] = {}
    for override in expressions:
        key = _bare_key(override)
        latest.pop(key, None)
        if override.type == OverrideType.DEL:
            key = f"~{key}"  # a later value of the key is added to what is left
            latest.pop(key, None)
        latest[key] = override
    entries = [_swept(one) if one.is_sweep_override() else one for one in latest.values()]
    _check_apart(entries)
    return Space(entries)


def _check_apart(entries: Sequence[Swept | Override]) -> None:
    """Raise UserError where an entry hides the value of a swept one, which would be recorded but not trained."""
    swept: dict[str, str] = {}  # each place that a swept key sets, with that key
    for one in entries:
        key = one.key if isinstance(one, Swept) else _bare_key(one)
        values = [plain for _, plain in one.choices.values()] if isinstance(one, Swept) else [one.value()]
        places = {place for value in values for place in _places(key, value)}
        for place in places & swept.keys():
            raise UserError(f"{key}: sets {place}, as the swept {swept[place]} does; leave one of them out.")
        if isinstance(one, Swept):
            swept.update(dict.fromkeys(places or {key}, key))


def _places(key: str, value: Any) -> Iterator[str]:
    """Yield the keys of the config that `key=value` sets: a mapping is merged into what is there."""
    if not isinstance(value, Mapping):
        yield key
        return
    for name, inner in value.items():
        yield from _places(f"{key}.{name}", inner)


def _bare_key(override: Override) -> str:
    return override.get_key_element().lstrip("+~")


def _swept(override: Override) -> Swept:
    element = override.get_key_element()
    key = element.lstrip("+")
    prefix = element.removesuffix(key)
    value = override.value()
    try:
        if isinstance(value, RangeSweep):
            return Swept(key, prefix, _range(value), {})
        if isinstance(value, IntervalSweep):
            return Swept(key, prefix, _interval(value), {})
        return _choice(key, prefix, override)
    except ValueError as error:
        raise UserError(f"{override.input_line}: {str(error).rstrip('.')}.") from None


def _range(sweep: RangeSweep) -> BaseDistribution:
    """Hydra's `range`: the stop is not among the values."""
    values = list(sweep.range())
    if not values:
        raise ValueError("an empty range: its stop is exclusive")
    low, high = min(values[0], values[-1]), max(values[0], values[-1])
    logarithmic = "log" in sweep.tags
    if all(isinstance(value, int) for value in values):
        step = abs(int(sweep.step))
        if logarithmic and step != 1:
            raise ValueError("tag(log, …) needs a range of step 1")
        return IntDistribution(int(low), int(high), log=logarithmic, step=step if len(values) > 1 else 1)
    if logarithmic:
        raise ValueError("tag(log, …) needs an interval, or a range of integers of step 1")
    distance = abs(float(sweep.step)) if len(values) > 1 else None
    return FloatDistribution(round(low, DECIMALS), round(high, DECIMALS), step=distance)


def _interval(sweep: IntervalSweep) -> BaseDistribution:
    assert sweep.start is not None
    assert sweep.end is not None
    logarithmic = "log" in sweep.tags
    if isinstance(sweep.start, int) and isinstance(sweep.end, int):
        return IntDistribution(sweep.start, sweep.end, log=logarithmic)
    return FloatDistribution(float(sweep.start), float(sweep.end), log=logarithmic)


def _choice(key: str, prefix: str, override: Override) -> Swept:
    """Return a choice as Optuna stores it: numbers, booleans and texts as they are, lists and mappings as text."""
    value = override.value()
    elements = value.list if isinstance(value, ChoiceSweep) else list(override.sweep_iterator())
    choices: dict[Any, tuple[str, Any]] = {}
    for element in elements:
        text = str(Transformer.str(element))
        plain = parse_overrides([f"{key}={text}"])[0].value()  # what the job's config will hold
        if text in (known for known, _ in choices.values()):
            continue
        is_itself = plain is None or (isinstance(plain, str | int | float | bool) and plain not in choices)
        choices[plain if is_itself else text] = (text, plain)
    if not choices:
        raise ValueError("nothing to choose from")
    return Swept(key, prefix, CategoricalDistribution(tuple(choices)), choices)

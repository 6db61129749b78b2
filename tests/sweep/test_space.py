"""Hydra's sweep syntax, with the meaning that Hydra gives it."""

from random import Random
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from cifar_exp.config.overrides import parse_overrides
from cifar_exp.errors import UserError
from cifar_exp.sweep.search.space import Space, build_space


def space(*expressions: str) -> Space:
    return build_space(parse_overrides(expressions))


@pytest.mark.parametrize(
    ("expression", "distribution"),
    [
        ("a=range(16,97,step=8)", IntDistribution(16, 96, step=8)),
        ("a=range(16,96,step=8)", IntDistribution(16, 88, step=8)),  # the stop is exclusive
        ("a=range(3)", IntDistribution(0, 2)),
        ("a=range(9,1,-2)", IntDistribution(3, 9, step=2)),
        ("a=range(5,6)", IntDistribution(5, 5)),
        ("a=range(0,1,0.25)", FloatDistribution(0, 0.75, step=0.25)),
        ("a=range(0.1,0.4,0.2)", FloatDistribution(0.1, 0.3, step=0.2)),
        ("a=interval(0.1,0.5)", FloatDistribution(0.1, 0.5)),
        ("a=interval(0.1,0.1)", FloatDistribution(0.1, 0.1)),
        ("a=interval(1,5)", FloatDistribution(1, 5)),
        ("a=int(interval(1,5))", IntDistribution(1, 5)),
        ("a=tag(log,interval(1e-4,1e-1))", FloatDistribution(1e-4, 1e-1, log=True)),
        ("a=tag(log,int(interval(1,64)))", IntDistribution(1, 64, log=True)),
        ("a=tag(log,range(1,65))", IntDistribution(1, 64, log=True)),
        ("a=relu,gelu", CategoricalDistribution(("relu", "gelu"))),
        ("a=choice(1,2,1)", CategoricalDistribution((1, 2))),
        ("a=choice(0.5,true,'x y')", CategoricalDistribution((0.5, True, "x y"))),
        ("a=choice(1,true)", CategoricalDistribution((1, "True"))),  # equal to Python, not to the user
        ("a=choice([3,5],[7])", CategoricalDistribution(("[3,5]", "[7]"))),
    ],
)
@pytest.mark.filterwarnings("error")
def test_an_expression_is_the_distribution_of_its_values(expression: str, distribution: Any) -> None:
    assert space(expression).distributions == {"a": distribution}


@pytest.mark.parametrize("expression", ["a=range(16,97,step=8)", "a=range(0,1,0.1)", "a=range(9,1,-2)"])
def test_a_range_has_exactly_the_values_of_hydras(expression: str) -> None:
    swept = space(expression).swept["a"]
    drawn = {swept.plain(swept.draw(Random(seed))) for seed in range(300)}
    expected = OverridesParser.create().parse_override(expression).sweep_iterator()
    assert sorted(drawn) == pytest.approx(sorted(expected))


@pytest.mark.parametrize(
    "expression",
    ["a=choice([3,5],[7])", "a=choice({channels:8},{channels:16})", "a=choice(true,1,'x y')", "a=choice('1','null',n)"],
)
def test_a_choice_comes_back_as_it_was_given(expression: str) -> None:
    one = space(expression)
    swept = one.swept["a"]
    given = OverridesParser.create().parse_override(expression)
    texts = list(given.sweep_string_iterator())
    for value, text in zip(swept.distribution.choices, texts, strict=True):  # type: ignore[attr-defined]
        assert one.overrides({"a": value}) == [f"a={text}"]
        again = OverridesParser.create().parse_override(f"a={text}").value()
        assert again == swept.plain(value)
        assert type(again) is type(swept.plain(value))


def test_a_range_of_reals_ends_with_a_value_that_optuna_accepts() -> None:
    """0.1 and a step of 0.2 are 0.30000000000000004, which is more than 0.3."""
    assert space("a=range(-0.3,0.2,step=0.1)").swept["a"].values == [-0.3, -0.2, -0.1, 0, 0.1]
    one = space("a=range(0.1,0.4,step=0.2)")
    assert one.swept["a"].values == [0.1, 0.3]
    for seed in range(9):
        params = {"a": one.swept["a"].draw(Random(seed))}
        create_trial(state=TrialState.WAITING, params=params, distributions=one.distributions)


@pytest.mark.parametrize("expression", ["a=interval(0.1,0.1)", "a=float(range(1))", "a=range(5,6)", "a=choice(x)"])
def test_a_key_of_one_value_is_no_interval(expression: str) -> None:
    (swept,) = space(expression).swept.values()
    assert swept.values == [swept.draw(Random(0))]


def test_later_expressions_replace_earlier_ones_whatever_their_plus() -> None:
    one = space("++model.layers.a.channels=range(8,64)", "seed=3", "model.layers.a.channels=choice(1,2)", "+b=1,2")
    assert one.distributions == {
        "model.layers.a.channels": CategoricalDistribution((1, 2)),
        "b": CategoricalDistribution((1, 2)),
    }
    assert one.overrides({"model.layers.a.channels": 2, "b": 1}) == ["seed=3", "model.layers.a.channels=2", "+b=1"]
    assert space("a=1,2", "a=7").overrides({}) == ["a=7"]
    assert space("a=7", "a=1,2").fixed_values == {}
    assert space("a=1,2", "~a").overrides({}) == ["~a"]
    assert space("~a", "+a=1,2").overrides({"a": 2}) == ["~a", "+a=2"]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("a=range(5,5)", "an empty range"),
        ("a=tag(log,range(1,65,step=4))", "range of step 1"),
        ("a=tag(log,interval(0,1))", "(low=0.0, high=1.0).$"),
        ("a=interval(2,1)", "a=interval(2,1)"),
    ],
)
def test_what_cannot_be_searched_is_an_error(expression: str, expected: str) -> None:
    with pytest.raises(UserError, match=expected.replace("(", r"\(").replace(")", r"\)")):
        space(expression)


@pytest.mark.parametrize(
    "expressions",
    [
        ("a.b=1,2", "a={b:3},{b:4}"),
        ("a={b:3},{b:4}", "a.b=1,2"),
        ("a={b:3},{b:4}", "a.b=1"),
        ("a.b=1,2", "a={b:3}"),
    ],
)
def test_a_key_within_a_swept_mapping_is_not_set_twice(expressions: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match=r"sets a\.b, as the swept a(\.b)? does; leave one of them out\.$"):
        space(*expressions)
    assert space("a.b=1", "a={b:3},{b:4}", "a.c=5,6").swept.keys() == {"a", "a.c"}

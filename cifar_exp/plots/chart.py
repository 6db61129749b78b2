"""A chart as plain data: what the pictures and the interactive page both draw."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

LEGEND_LABELS = 12  # more would hide the chart
COUNTS_SHOWN = 12  # classes; more and the numbers in a matrix cannot be read
FRONT_COLOUR = "#8a8a8a"

Value = float | str  # of an axis: a number, or the name of a class


@dataclass(frozen=True)
class Axis:
    """What one axis shows."""

    title: str
    unit: Literal["number", "whole", "percent", "cost", "name"] = "number"  # cost: 12k for 12,000
    from_zero: bool = False


@dataclass(frozen=True)
class Series:
    """Points with one label."""

    label: str
    x: Sequence[Value]
    y: Sequence[Value]
    colour: str
    mark: Literal["line", "steps", "dots", "rings", "bars"] = "line"  # steps: each point's value up to the next one
    what: str = ""  # what a point shows, as in "validation"
    is_faint: bool = False  # drawn thin and dotted
    in_legend: bool = True
    names: Sequence[str] = ()  # beside the points
    details: Sequence[str] = ()  # lines of text of each point, for a reader who points at it
    marked: frozenset[int] = frozenset()  # positions of the points that are drawn larger


@dataclass(frozen=True)
class Chart:
    """Series on two axes."""

    x: Axis
    y: Axis
    series: Sequence[Series]

    @property
    def labels(self) -> list[str]:
        """The labels of the legend; none where they are too many."""
        labels = [one.label for one in self.series if one.in_legend]
        return labels if len(labels) <= LEGEND_LABELS else []


@dataclass(frozen=True)
class Matrix:
    """Test images by true class (rows) and predicted class (columns)."""

    title: str
    names: Sequence[str]
    counts: Sequence[Sequence[int]]

    @property
    def fractions(self) -> list[list[float]]:
        """Each count as a fraction of its row."""
        return [[number / max(sum(row), 1) for number in row] for row in self.counts]

    @property
    def has_numbers(self) -> bool:
        """Whether there is room for the counts."""
        return len(self.names) <= COUNTS_SHOWN


def middle_cut(text: str, length: int) -> str:
    """Return `text`, or its begin and its end where it is longer than `length`."""
    half = length // 2
    return text if len(text) <= length else f"{text[: half - 1]}…{text[-half:]}"


def pareto_series(x: Sequence[Value], y: Sequence[Value]) -> Series:
    """Return the Pareto front through its points, the cheapest first."""
    return Series("Pareto front", x, y, FRONT_COLOUR, mark="steps")


def pareto_front(points: Sequence[Sequence[float]]) -> list[int]:
    """Return the positions of the points that no other one equals or undercuts in every coordinate.

    Sorted by the first coordinate. Of equal points, the first is on the front.
    """
    front: list[int] = []
    for position in sorted(range(len(points)), key=lambda one: tuple(points[one])):  # none is beaten by a later one
        others = (zip(points[one], points[position], strict=True) for one in front)
        if not any(all(theirs <= own for theirs, own in pairs) for pairs in others):
            front.append(position)
    return front

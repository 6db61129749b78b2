"""The Pareto front of accuracy against a cost, as charts and tables mark it."""

from collections.abc import Sequence


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return the positions of the points (cost, accuracy) that no cheaper or equally cheap one matches, by rising cost.

    Of equal points, the first is on the front.
    """
    front: list[int] = []
    for position in sorted(range(len(points)), key=lambda one: (points[one][0], -points[one][1])):
        if not front or points[position][1] > points[front[-1]][1]:
            front.append(position)
    return front

"""Budgets: what a network may cost, checked on its plan before anything is built or read."""

from typing import Annotated

from pydantic import Field

from cifar_exp.errors import UserError
from cifar_exp.network.ops import numel
from cifar_exp.network.plan import Plan
from cifar_exp.network.spec import Spec

Limit = Annotated[int, Field(ge=1)] | None

_UNITS = {"params": "parameters", "macs": "MACs", "peak_activation_bytes": "bytes of activations at once"}


class Budget(Spec):
    """The most that a network may cost; None is no limit."""

    params: Limit = None  # running statistics included
    macs: Limit = None  # of one image
    peak_activation_bytes: Limit = None  # of one image, one byte an element

    def exceeded_by(self, plan: Plan) -> list[str]:
        """The names of the limits that `plan` exceeds."""
        limits = ((name, getattr(self, name)) for name in _UNITS)
        return [name for name, limit in limits if limit is not None and getattr(plan, name) > limit]


def check_budget(plan: Plan, budget: Budget) -> None:
    """Raises UserError, naming the largest layers, where `plan` exceeds `budget`."""
    exceeded = budget.exceeded_by(plan)
    if not exceeded:
        return
    lines = [
        f"{plan.name} exceeds budget.{name}: {getattr(plan, name):,} {_UNITS[name]}, {getattr(budget, name):,} allowed."
        for name in exceeded
    ]
    lines += [f"Largest layers: {_largest(plan, exceeded[0])}."]
    raise UserError("\n".join(lines))


def _largest(plan: Plan, cost: str, count: int = 3) -> str:
    if cost == "peak_activation_bytes":
        sizes = {layer.name: numel(layer.in_shape) + numel(layer.out_shape) for layer in plan.layers}
    else:
        sizes = {row.name: getattr(row, cost) for row in plan.rows}
    largest = sorted(sizes, key=lambda name: -sizes[name])[:count]
    return ", ".join(f"{name} ({sizes[name]:,})" for name in largest)

"""What a network costs, and budgets: limits that are checked on its plan before anything is built or read."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from cifar_exp.errors import UserError
from cifar_exp.network.ops import numel
from cifar_exp.network.plan import Plan
from cifar_exp.network.spec import Spec

Limit = Annotated[int, Field(ge=1)] | None

# Each cost, an attribute of `Plan`, with its name in tables, on axes and after a number
COSTS = {
    "params": "parameters",
    "trainable_params": "trainable parameters",
    "macs": "MACs",
    "peak_activation_bytes": "peak activation bytes",
}


def costs_of(plan: Plan) -> dict[str, int]:
    """Return the costs of `plan` by their keys."""
    return {key: getattr(plan, key) for key in COSTS}


def cost_line(costs: Mapping[str, int]) -> str:
    """Return `49,803 parameters (48,559 trainable), 795,392 MACs, 24,576 peak activation bytes`."""
    others = [f"{costs[key]:,} {COSTS[key]}" for key in COSTS if key not in ("params", "trainable_params")]
    return f"{costs['params']:,} parameters ({costs['trainable_params']:,} trainable), {', '.join(others)}"


class Budget(Spec):
    """The most that a network may cost; None is no limit."""

    params: Limit = None  # running statistics included
    macs: Limit = None  # of one image
    peak_activation_bytes: Limit = None  # of one image, one byte per element

    def exceeded_by(self, plan: Plan) -> list[str]:
        """Return the names of the limits that `plan` exceeds."""
        limits = ((name, getattr(self, name)) for name in type(self).model_fields)
        return [name for name, limit in limits if limit is not None and getattr(plan, name) > limit]


def check_budget(plan: Plan, budget: Budget) -> None:
    """Raise UserError, naming the largest layers, where `plan` exceeds `budget`."""
    exceeded = budget.exceeded_by(plan)
    if not exceeded:
        return
    lines = [
        f"{plan.name} exceeds budget.{name}: {getattr(plan, name):,} {COSTS[name]}, {getattr(budget, name):,} allowed."
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

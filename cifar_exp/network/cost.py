"""What a network costs, and budgets: limits that are checked on its plan before anything is built or read."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from cifar_exp.errors import UserError
from cifar_exp.network.firmware import unsupported_feature
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
    "flash_bytes": "bytes of flash",
    "sram_bytes": "bytes of SRAM",
}


def costs_of(plan: Plan) -> dict[str, int | None]:
    """Return the costs of `plan` by their keys; None for flash and SRAM where firmware does not support the network."""
    return {key: getattr(plan, key) for key in COSTS}


def cost_line(costs: Mapping[str, int | None]) -> str:
    """Return `49,803 parameters (48,559 trainable), 795,392 MACs, 24,576 peak activation bytes`."""
    others = [f"{costs[key]:,} {COSTS[key]}" for key in ("macs", "peak_activation_bytes")]
    return f"{costs['params']:,} parameters ({costs['trainable_params']:,} trainable), {', '.join(others)}"


class Budget(Spec):
    """The most that a network may cost; None is no limit."""

    params: Limit = None  # running statistics included
    macs: Limit = None  # of one image
    peak_activation_bytes: Limit = None  # of one image, one byte per element
    flash_bytes: Limit = None  # of the firmware of `export format=c`
    sram_bytes: Limit = None  # of the same

    def exceeded_by(self, plan: Plan) -> list[str]:
        """Return the names of the limits that `plan` exceeds; without firmware it exceeds those of flash and SRAM."""
        return [name for name in type(self).model_fields if self.excess_of(plan, name) > 0.0]

    def excess_of(self, plan: Plan, name: str) -> float:
        """Return cost / limit - 1: -1 without a limit, infinite for a network that firmware does not support."""
        limit = getattr(self, name)
        if limit is None:
            return -1.0
        cost = getattr(plan, name)
        return float("inf") if cost is None else cost / limit - 1.0


def check_budget(plan: Plan, budget: Budget) -> None:
    """Raise UserError, naming the largest layers, where `plan` exceeds `budget`."""
    exceeded = budget.exceeded_by(plan)
    if not exceeded:
        return
    lines = [excess_text(plan, budget, name) for name in exceeded]
    lines += [f"Largest layers: {_largest(plan, exceeded[0])}."]
    raise UserError("\n".join(lines))


def excess_text(plan: Plan, budget: Budget, name: str) -> str:
    """Return how `plan` exceeds one limit, or why its cost is not known."""
    cost = getattr(plan, name)
    if cost is None:
        return f"{plan.name} has no {name} to compare with budget.{name}: {unsupported_feature(plan)}"
    return f"{plan.name} exceeds budget.{name}: {cost:,} {COSTS[name]}, {getattr(budget, name):,} allowed."


def _largest(plan: Plan, cost: str, count: int = 3) -> str:
    if cost in ("peak_activation_bytes", "sram_bytes"):
        sizes = {layer.name: numel(layer.in_shape) + numel(layer.out_shape) for layer in plan.layers}
    else:
        sizes = {row.name: getattr(row, "params" if cost == "flash_bytes" else cost) for row in plan.rows}
    largest = sorted(sizes, key=lambda name: -sizes[name])[:count]
    return ", ".join(f"{name} ({sizes[name]:,})" for name in largest)

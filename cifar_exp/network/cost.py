"""What a network costs, and budgets: limits that are checked on its plan before anything is built or read."""

from collections.abc import Iterable, Mapping
from math import inf
from typing import Annotated

from pydantic import Field

from cifar_exp.errors import UserError
from cifar_exp.network.firmware import flash_by_operation, sram_by_operation, unsupported_feature
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


def costs_of(plan: Plan, keys: Iterable[str] = COSTS) -> dict[str, int | None]:
    """Return the costs of `plan` by their keys; None for flash and SRAM where firmware does not support the network."""
    return {key: getattr(plan, key) for key in keys}


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

    @property
    def limits(self) -> dict[str, int]:
        """The limits that are set, by cost."""
        return {name: limit for name in type(self).model_fields if (limit := getattr(self, name)) is not None}

    def exceeded_by(self, plan: Plan) -> list[str]:
        """Return the names of the limits that `plan` exceeds; without firmware it exceeds those of flash and SRAM."""
        return [name for name, excess in self.excesses_of(plan).items() if excess > 0.0]

    def excesses_of(self, plan: Plan) -> dict[str, float]:
        """Return cost / limit - 1 of each limit: infinite for flash and SRAM of a network without firmware."""
        limits = self.limits
        costs = costs_of(plan, limits)
        return {name: inf if cost is None else cost / limits[name] - 1.0 for name, cost in costs.items()}


def check_budget(plan: Plan, budget: Budget) -> None:
    """Raise UserError, naming the largest layers, where `plan` exceeds `budget`."""
    exceeded = budget.exceeded_by(plan)
    if not exceeded:
        return
    lines = [_excess_text(plan, budget, name) for name in exceeded]
    if sizes := _by_layer(plan, exceeded[0]):
        largest = sorted(sizes, key=lambda name: -sizes[name])[:3]
        lines.append(f"Largest layers: {', '.join(f'{name} ({sizes[name]:,})' for name in largest)}.")
    raise UserError("\n".join(lines))


def _excess_text(plan: Plan, budget: Budget, name: str) -> str:
    """Return how `plan` exceeds one limit, or why its cost is not known."""
    cost = getattr(plan, name)
    if cost is None:
        return f"{plan.name} has no {name} to compare with budget.{name}: {unsupported_feature(plan)}"
    return f"{plan.name} exceeds budget.{name}: {cost:,} {COSTS[name]}, {getattr(budget, name):,} allowed."


def _by_layer(plan: Plan, cost: str) -> dict[str, int]:
    """Return what each layer contributes to a cost or, of memory, what is alive while it runs."""
    if cost == "peak_activation_bytes":
        return plan.live_bytes
    if cost == "flash_bytes":
        return {} if plan.operations is None else flash_by_operation(plan.operations)
    if cost == "sram_bytes":
        return {} if plan.operations is None else sram_by_operation(plan.operations, plan.input_shape)
    return {row.name: getattr(row, cost) for row in plan.rows}

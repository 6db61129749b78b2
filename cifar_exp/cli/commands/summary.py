"""`cifar-exp summary`: what a network is made of and what it costs, without data and without training."""

from typing import Any

from cifar_exp.checks import Planned
from cifar_exp.config.command_schema import SummaryConfig
from cifar_exp.files import json_text
from cifar_exp.network.cost import costs_of
from cifar_exp.network.plan import Plan


def main(checked: Planned[SummaryConfig]) -> None:
    """Print the layer table, or with `format=json` one JSON document."""
    if checked.config.format == "json":
        print(json_text(document(checked.plan)))
    else:
        print(checked.plan)


def document(plan: Plan) -> dict[str, Any]:
    """Return the plan as plain data; shapes are (channels, height, width)."""
    return {
        "name": plan.name,
        **costs_of(plan),
        "input_shape": list(plan.input_shape),
        "num_classes": plan.num_classes,
        "layers": [{**row._asdict(), "output_shape": list(row.output_shape)} for row in plan.rows],
    }

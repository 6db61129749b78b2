"""`cifar-exp summary`: what a network is made of and what it costs, without data and without training."""

import json
from typing import Any

from omegaconf import DictConfig

from cifar_exp.cli.check import check_summary
from cifar_exp.cli.tables import figures_table, show
from cifar_exp.network.plan import Plan


def main(cfg: DictConfig) -> None:
    """Prints the layer table, or with `format=json` one JSON document."""
    checked = check_summary(cfg)
    if checked.config.format == "json":
        print(json.dumps(document(checked.plan), indent=2))
    else:
        show_plan(checked.plan)


def document(plan: Plan) -> dict[str, Any]:
    """The plan as contract section 4 has it; shapes are (channels, height, width)."""
    return {
        "name": plan.name,
        "params": plan.params,
        "trainable_params": plan.trainable_params,
        "macs": plan.macs,
        "peak_activation_bytes": plan.peak_activation_bytes,
        "input_shape": list(plan.input_shape),
        "num_classes": plan.num_classes,
        "layers": [{**row._asdict(), "output_shape": list(row.output_shape)} for row in plan.rows],
    }


def show_plan(plan: Plan) -> None:
    """The layer table, output sizes as (height, width, channels), and the totals."""
    rows = [[row.name, row.type, f"{row.params:,}", f"{row.macs:,}", size(row.output_shape)] for row in plan.rows]
    totals = ["total", f"{plan.trainable_params:,} trainable", f"{plan.params:,}", f"{plan.macs:,}", ""]
    table = figures_table(plan.name, ["layer", "type", "params", "MACs", "output"], rows, text_columns=2)
    table.add_section()
    table.add_row(*totals, style="bold")
    table.caption = (
        f"input {size(plan.input_shape)}, at most {plan.peak_activation_bytes:,} bytes of activations at once"
    )
    show(table)


def size(shape: tuple[int, ...]) -> str:
    """`16, 16, 32`: height, width, channels, as the reference study writes it."""
    return ", ".join(map(str, (*shape[1:], shape[0])))

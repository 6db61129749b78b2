"""The layer table of a plan: its cells, and the whole as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cifar_exp.network.firmware import unsupported_feature
from cifar_exp.network.ops import Shape

if TYPE_CHECKING:
    from cifar_exp.network.plan import Plan

COLUMNS = ("layer", "type", "parameters", "MACs", "output")
TEXT_COLUMNS = 2  # aligned to the left; the others are numbers


def layer_rows(plan: Plan) -> list[list[str]]:
    """Return the cells of one row per operation, in the order of `COLUMNS`."""
    return [[row.name, row.type, f"{row.params:,}", f"{row.macs:,}", size_text(row.output_shape)] for row in plan.rows]


def total_row(plan: Plan) -> list[str]:
    """Return the cells of the last row: the sums over the network."""
    return ["total", f"{plan.trainable_params:,} trainable", f"{plan.params:,}", f"{plan.macs:,}", ""]


def layer_table(plan: Plan) -> str:
    """Return one line per operation with its parameters, MACs and output size, then the totals.

    Sizes are (height, width, channels), as the reference study writes them.
    """
    rows, total = layer_rows(plan), total_row(plan)
    widths = [max(map(len, column)) for column in zip(COLUMNS, *rows, total, strict=True)]
    rule = "─" * (sum(widths) + 2 * len(widths) - 2)
    lines = [plan.name, "", _line(COLUMNS, widths), rule, *(_line(row, widths) for row in rows), rule]
    lines += [_line(total, widths), ""]
    lines += [f"input {size_text(plan.input_shape)}; {plan.peak_activation_bytes:,} peak activation bytes"]
    lines += [_firmware_line(plan)]
    return "\n".join(lines)


def _firmware_line(plan: Plan) -> str:
    if plan.flash_bytes is None or plan.sram_bytes is None:
        return f"no firmware: {unsupported_feature(plan)}"
    return f"as firmware: {plan.flash_bytes:,} bytes of flash, {plan.sram_bytes:,} bytes of SRAM"


def size_text(shape: Shape) -> str:
    """Return a shape (channels, height, width) as `16, 16, 32`: height, width, channels."""
    return ", ".join(map(str, (*shape[1:], shape[0])))


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    aligned = (
        cell.ljust(width) if column < TEXT_COLUMNS else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join(aligned).rstrip()

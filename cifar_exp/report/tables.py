"""The tables of a report."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cifar_exp.network.cost import COSTS
from cifar_exp.network.plan import Plan, Row
from cifar_exp.network.table import COLUMNS, TEXT_COLUMNS, layer_rows, total_row
from cifar_exp.report.runs import ReportedRun, differing


@dataclass(frozen=True)
class Table:
    """Texts in rows; `best` are the positions (row, column) worth marking."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    text_columns: int = 1  # the others are figures, aligned to the right
    best: frozenset[tuple[int, int]] = frozenset()


@dataclass(frozen=True)
class Figure:
    """A figure of `result.json` as a column."""

    title: str
    key: str
    form: str = "s"  # as `format` takes it
    better: Callable[..., Any] | None = None  # max or min


FIGURES = (
    Figure("train", "train/acc", ".2%"),
    Figure("validation", "val/acc", ".2%", max),
    Figure("test", "test/acc", ".2%", max),
    Figure("s/epoch", "seconds_per_epoch", ".2f", min),
    *(Figure(name, key, ",", min) for key, name in COSTS.items() if key != "trainable_params"),
    Figure("epochs", "epochs", ","),
)


SHORT = {"peak_activation_bytes": "peak bytes"}
NARROW = tuple(  # what a terminal of 80 columns shows
    replace(figure, title=SHORT.get(figure.key, figure.title))
    for figure in FIGURES
    if figure.key not in ("train/acc", "epochs", "flash_bytes", "sram_bytes")
)


def comparison(runs: Sequence[ReportedRun], figures: Sequence[Figure] = FIGURES) -> Table:
    """Return accuracies, time and cost of each run; a figure that no run has is no column."""
    figures = [one for one in figures if any(run.result.get(one.key) is not None for run in runs)]
    texts = [Figure("run", ""), *(Figure(key, key) for key in ("model", "data", "device") if _adds(runs, key))]
    rows = [[run.label, *(_cell(run, one) for one in (*texts[1:], *figures))] for run in runs]
    best = {(row, len(texts) + column) for column, one in enumerate(figures) for row in _best_rows(runs, one)}
    return Table([one.title for one in (*texts, *figures)], rows, len(texts), frozenset(best))


def _adds(runs: Sequence[ReportedRun], key: str) -> bool:
    """Return whether a column of `key` adds something to the labels."""
    values = [run.result.get(key) for run in runs]
    return len(set(values)) > 1 and values != [run.label for run in runs]


def _cell(run: ReportedRun, figure: Figure) -> str:
    value = run.result.get(figure.key)
    return "–" if value is None else format(value, figure.form)


def _best_rows(runs: Sequence[ReportedRun], figure: Figure) -> list[int]:
    values = [run.result.get(figure.key) for run in runs]
    known = [value for value in values if value is not None]
    if figure.better is None or len(set(known)) < 2:
        return []
    best = figure.better(known)
    return [row for row, value in enumerate(values) if value == best]


def overrides(runs: Sequence[ReportedRun]) -> Table | None:
    """Return the overridden keys whose values differ: one column per run, or one row where runs outnumber keys."""
    labels = [run.label for run in runs]
    shown = {key: [_plain(value) for value in each] for key, each in differing(runs).items()}
    shown = {key: texts for key, texts in shown.items() if texts != labels}
    if not shown:
        return None
    if len(runs) <= len(shown):
        return Table(["", *labels], [[key, *texts] for key, texts in shown.items()], len(runs) + 1)
    rows = [[label, *(texts[row] for texts in shown.values())] for row, label in enumerate(labels)]
    return Table(["run", *shown], rows, len(shown) + 1)


def _plain(value: Any) -> str:
    """Return a value as it is written on the command line."""
    if value is None:
        return "–"
    return str(value).lower() if isinstance(value, bool) else str(value)


def class_accuracy(runs: Sequence[ReportedRun]) -> Table | None:
    """Return per-class test accuracy, one column per run that has been tested."""
    known = [(run, run.test.class_acc) for run in runs if run.test]
    if not known:
        return None
    names = list(dict.fromkeys(name for _, found in known for name in found))
    rows = [[name, *(f"{found[name]:.2%}" if name in found else "–" for _, found in known)] for name in names]
    return Table(["class", *(run.label for run, _ in known)], rows)


def layers(plan: Plan) -> Table:
    """Return a network's layer table with its totals."""
    return Table(COLUMNS, [*layer_rows(plan), total_row(plan)], TEXT_COLUMNS)


def networks(runs: Sequence[ReportedRun]) -> list[tuple[Plan, list[ReportedRun]]]:
    """Return the different networks among the runs, each with the runs that trained it."""
    groups: dict[tuple[Row, ...], tuple[Plan, list[ReportedRun]]] = {}
    for run in runs:
        if run.plan is not None:
            groups.setdefault(run.plan.rows, (run.plan, []))[1].append(run)
    return list(groups.values())

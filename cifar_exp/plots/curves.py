"""The picture of a training: accuracy and loss over the epochs."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from cifar_exp.plots.chart import Axis, Chart, Series
from cifar_exp.plots.pictures import draw_charts

TRAIN, VALIDATION, TEST = "#2a78b5", "#d1622b", "#3d3d3d"
EPOCH = Axis("epoch", "whole")
ACCURACY, LOSS = Axis("accuracy", "percent"), Axis("loss")

Rows = Sequence[Mapping[str, float]]  # one per epoch, by the columns of metrics.csv


def curve(rows: Rows, key: str, label: str, colour: str, **style: object) -> Series:
    """Return one column of `metrics.csv` over the epochs, which are counted from 1."""
    return Series(label, [row["epoch"] + 1 for row in rows], [row[key] for row in rows], colour, **style)  # type: ignore[arg-type]


def plot_curves(path: Path, rows: Rows, title: str, test_accuracy: float | None) -> None:
    """Write one figure: training and validation accuracy (left) and loss (right) over the epochs."""
    best = max(rows, key=lambda row: row["val/acc"])
    accuracy, loss = (
        [curve(rows, f"train/{name}", "training", TRAIN), curve(rows, f"val/{name}", "validation", VALIDATION)]
        for name in ("acc", "loss")
    )
    accuracy.append(curve([best], "val/acc", "best", VALIDATION, mark="dots", in_legend=False))
    if test_accuracy is not None:
        ends = [1, rows[-1]["epoch"] + 1]
        accuracy.append(Series(f"test {test_accuracy:.2%}", ends, [test_accuracy] * 2, TEST, is_faint=True))
    heading = f"{title}: best validation accuracy {best['val/acc']:.2%} in epoch {best['epoch'] + 1:.0f}"
    draw_charts(path, [Chart(EPOCH, ACCURACY, accuracy), Chart(EPOCH, LOSS, loss)], heading)

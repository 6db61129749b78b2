"""The picture of a training: accuracy and loss over the epochs."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from cifar_exp.plots.figure import literal, new_figure, save

TRAIN, VALIDATION, TEST = "#2a78b5", "#d1622b", "#3d3d3d"


def plot_curves(path: Path, rows: Sequence[Mapping[str, float]], title: str, test_accuracy: float | None) -> None:
    """Writes one figure: training and validation accuracy (left) and loss (right) over the epochs."""
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    figure = new_figure(10, 4.2)
    accuracy, loss = figure.subplots(1, 2)
    epochs = [row["epoch"] + 1 for row in rows]
    marker = "o" if len(rows) == 1 else None
    for axes, figure_name in ((accuracy, "acc"), (loss, "loss")):
        for part, colour, label in (("train", TRAIN, "training"), ("val", VALIDATION, "validation")):
            values = [row[f"{part}/{figure_name}"] for row in rows]
            axes.plot(epochs, values, color=colour, label=label, linewidth=1.8, marker=marker)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    best = max(rows, key=lambda row: row["val/acc"])
    accuracy.plot(best["epoch"] + 1, best["val/acc"], "o", color=VALIDATION, markersize=6)
    if test_accuracy is not None:
        accuracy.axhline(test_accuracy, color=TEST, linestyle=":", linewidth=1.4, label=f"test {test_accuracy:.2%}")
    accuracy.set_ylabel("accuracy")
    accuracy.yaxis.set_major_formatter(PercentFormatter(1.0))
    loss.set_ylabel("loss")
    accuracy.legend(frameon=False)
    figure.suptitle(
        f"{literal(title)}: best validation accuracy {best['val/acc']:.2%} in epoch {best['epoch'] + 1:.0f}"
    )
    save(figure, path, dpi=150)

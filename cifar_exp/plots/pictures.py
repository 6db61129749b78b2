"""The PNG files beside the Markdown report."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cifar_exp.plots.figure import literal, new_figure, save
from cifar_exp.report.content import Content, front
from cifar_exp.report.runs import Run

DPI = 130
LEGEND_RUNS = 12
MATRICES = 6
COUNTS_SHOWN = 12  # classes; more and the numbers cannot be read


def draw(directory: Path, content: Content) -> dict[str, str]:
    """Writes every picture that the runs have figures for; returns what each file shows."""
    written = {"curves.png": "Accuracy and loss over the epochs", "cost.png": "Validation accuracy against parameters"}
    save(_curves(content), directory / "curves.png", DPI)
    save(_cost(content), directory / "cost.png", DPI)
    if content.tested:
        written |= {
            "classes.png": "Per-class test accuracy",
            "confusion.png": "Test images by true and predicted class",
        }
        save(_classes(content), directory / "classes.png", DPI)
        save(_confusion(content), directory / "confusion.png", DPI)
    return written


def _plain_axes(axes: Any) -> None:
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _curves(content: Content) -> Any:
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    figure = new_figure(11, 4.4)
    accuracy, loss = figure.subplots(1, 2)
    for run in content.runs:
        epochs = [row["epoch"] + 1 for row in run.rows]
        for axes, name in ((accuracy, "acc"), (loss, "loss")):
            colour, marker = content.colour(run), "o" if len(epochs) == 1 else None
            axes.plot(
                epochs, [row[f"val/{name}"] for row in run.rows], color=colour, label=literal(run.label), marker=marker
            )
            training = [row[f"train/{name}"] for row in run.rows]
            axes.plot(epochs, training, color=colour, linestyle=":", linewidth=1.1, marker=marker)
    for axes, word in ((accuracy, "accuracy"), (loss, "loss")):
        axes.set(xlabel="epoch", ylabel=word)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _plain_axes(axes)
    accuracy.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    figure.suptitle("solid: validation, dotted: training", fontsize=10, color="#5d6878")
    if len(content.runs) <= LEGEND_RUNS:
        figure.legend(*accuracy.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    return figure


def _cost(content: Content) -> Any:
    from matplotlib.ticker import EngFormatter, PercentFormatter

    figure = new_figure(7.5, 4.6)
    axes = figure.subplots()
    best = front(content.runs, "params")
    points = [(run.result["params"], run.result["val/acc"]) for run in best]
    axes.step(
        *zip(*points, strict=True), where="post", color="#8a8a8a", linestyle="--", linewidth=1.1, label="Pareto front"
    )
    for run in content.runs:
        point = (run.result["params"], run.result["val/acc"])
        axes.scatter(*point, color=content.colour(run), s=70 if run in best else 36, zorder=3)
        if len(content.runs) <= LEGEND_RUNS:
            axes.annotate(literal(run.label), point, (0, 8), textcoords="offset points", ha="center", fontsize=9)
    axes.set(xlabel="parameters", ylabel="validation accuracy")
    axes.margins(y=0.15)
    axes.set_xlim(0, 1.12 * max(run.result["params"] for run in content.runs))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=1))
    axes.legend(frameon=False)
    _plain_axes(axes)
    return figure


def _classes(content: Content) -> Any:
    from matplotlib.ticker import PercentFormatter

    longest = max(len((run.test or {})["class_acc"]) for run in content.tested)
    figure = new_figure(8, 1.4 + 0.3 * longest)
    axes = figure.subplots()
    for run in content.tested:
        shares = (run.test or {})["class_acc"]
        axes.scatter(
            list(shares.values()),
            list(map(literal, shares)),
            color=content.colour(run),
            label=literal(run.label),
            alpha=0.85,
        )
    axes.invert_yaxis()
    axes.set_xlabel("test accuracy")
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    _plain_axes(axes)
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    return figure


def _confusion(content: Content) -> Any:
    runs = sorted(content.tested, key=lambda run: -run.result["val/acc"])[:MATRICES]
    columns = min(len(runs), 2)
    rows = -(-len(runs) // columns)
    figure = new_figure(6 * columns, 5.6 * rows)
    for place, run in enumerate(runs, start=1):
        _matrix(figure.add_subplot(rows, columns, place), run)
    return figure


def _matrix(axes: Any, run: Run) -> None:
    test = run.test or {}
    names, counts = list(map(literal, test["class_acc"])), test["confusion"]
    shares = [[number / max(sum(row), 1) for number in row] for row in counts]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_title(literal(run.label), fontsize=11)
    axes.set(xlabel="predicted class", ylabel="true class")
    if len(names) > COUNTS_SHOWN:
        return
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    for row, numbers in enumerate(counts):
        _numbers(axes, row, numbers, shares[row])


def _numbers(axes: Any, row: int, numbers: Sequence[int], shares: Sequence[float]) -> None:
    for column, (number, share) in enumerate(zip(numbers, shares, strict=True)):
        colour = "white" if share > 0.55 else "#1c2430"
        axes.text(column, row, str(number), ha="center", va="center", fontsize=7, color=colour)

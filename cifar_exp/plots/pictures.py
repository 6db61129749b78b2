"""Charts as picture files, drawn by matplotlib."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cifar_exp.plots.chart import Axis, Chart, Matrix, Series
from cifar_exp.plots.figure import literal, new_figure, save

DPI = 150
NAME_MARGIN = 0.6  # before the first and after the last name of an axis
CELL = 5.6  # inches of a matrix
LETTER, MARK = 0.09, 0.6  # inches of a legend's entry, a wide letter and the mark
NAME_SIZE, NAME_DISTANCE = 9, 10  # in points, of the names of a chart's points


def draw_charts(path: Path, charts: Sequence[Chart], title: str = "", height: float = 4.4) -> None:
    """Write one picture of charts side by side, with the legend of the first."""
    figure = new_figure(max(5.5 * len(charts), 7.5), height)
    all_axes = figure.subplots(1, len(charts), squeeze=False)[0]
    for axes, chart in zip(all_axes, charts, strict=True):
        for series in chart.series:
            _draw_series(axes, series)
        _scale(axes, axes.xaxis, chart.x)
        _scale(axes, axes.yaxis, chart.y)
        axes.set(xlabel=chart.x.title, ylabel=chart.y.title)
        axes.grid(alpha=0.25)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    if charts[0].labels:
        room = figure.get_figwidth() / (LETTER * max(map(len, charts[0].labels)) + MARK)
        columns = max(1, min(4, int(room)))
        figure.legend(
            *all_axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=columns, frameon=False
        )
    if title:
        figure.suptitle(literal(title), fontsize=11)
    if any(series.names for chart in charts for series in chart.series):
        figure.draw_without_rendering()  # decides where the points are; costs as much as the picture
        for axes, chart in zip(all_axes, charts, strict=True):
            _write_names(axes, chart)
    save(figure, path, DPI)


def _draw_series(axes: Any, series: Series) -> None:
    x, y = ([literal(one) if isinstance(one, str) else one for one in values] for values in (series.x, series.y))
    label = literal(series.label) if series.in_legend else None
    if series.mark in ("dots", "rings"):
        sizes = [70 if position in series.marked else 36 for position in range(len(x))]
        marks = axes.scatter(x, y, s=sizes, color=series.colour, label=label, alpha=0.85, zorder=3)
        if series.mark == "rings":
            marks.set_facecolor("none")
    elif series.mark == "bars":
        axes.barh(y, x, color=series.colour, height=0.65)
    elif series.mark == "steps":
        axes.step(x, y, where="post", color=series.colour, linestyle="--", linewidth=1.1, label=label)
    else:
        style = {"linestyle": ":", "linewidth": 1.2} if series.is_faint else {"linewidth": 1.8}
        axes.plot(x, y, color=series.colour, label=label, marker="o" if len(x) == 1 else None, **style)


def _write_names(axes: Any, chart: Chart) -> None:
    """Write the name of each point above it, else below it, or not at all where other names are in the way."""
    from matplotlib.patheffects import withStroke

    readable = [withStroke(linewidth=2.5, foreground="white")]  # on top of other points
    taken: list[tuple[float, float, float]] = []  # centre and half the width of each name, in points
    for series in chart.series:
        for name, *point in zip(series.names, series.x, series.y, strict=False):
            x, y = axes.transData.transform(point) * 72 / axes.figure.dpi
            half = NAME_SIZE * len(name) / 3
            for offset in (NAME_DISTANCE, -NAME_DISTANCE):
                if any(abs(x - at) < half + room and abs(y + offset - level) < NAME_SIZE for at, level, room in taken):
                    continue
                taken.append((x, y + offset, half))
                style = {"textcoords": "offset points", "ha": "center", "va": "center", "fontsize": NAME_SIZE}
                axes.annotate(literal(name), point, (0, offset), path_effects=readable, zorder=4, **style)
                break


def _scale(axes: Any, scale: Any, axis: Axis) -> None:
    from matplotlib.ticker import EngFormatter, MaxNLocator, PercentFormatter

    if axis.unit == "percent":
        scale.set_major_formatter(PercentFormatter(1.0))
    elif axis.unit == "whole":
        scale.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    elif axis.unit == "cost":
        axes.margins(y=0.15)
        scale.set_major_formatter(EngFormatter(sep=""))
    elif axis.unit == "name":
        axes.set_ylim(axes.dataLim.y1 + NAME_MARGIN, axes.dataLim.y0 - NAME_MARGIN)  # the first at the top
    if axis.from_zero:
        axes.set_xlim(0, 1.12 * axes.dataLim.x1)


def draw_matrices(path: Path, matrices: Sequence[Matrix]) -> None:
    """Write one picture of confusion matrices, two in a row."""
    columns = min(len(matrices), 2)
    rows = -(-len(matrices) // columns)
    figure = new_figure(6 * columns, CELL * rows)
    for place, matrix in enumerate(matrices, start=1):
        _draw_matrix(figure.add_subplot(rows, columns, place), matrix)
    save(figure, path, DPI)


def _draw_matrix(axes: Any, matrix: Matrix) -> None:
    fractions, names = matrix.fractions, list(map(literal, matrix.names))
    axes.imshow(fractions, cmap="Blues", vmin=0, vmax=1)
    axes.set_title(literal(matrix.title), fontsize=11)
    axes.set(xlabel="predicted class", ylabel="true class")
    if not matrix.has_numbers:
        return
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    for row, numbers in enumerate(matrix.counts):
        for column, number in enumerate(numbers):
            colour = "white" if fractions[row][column] > 0.55 else "#1c2430"
            axes.text(column, row, str(number), ha="center", va="center", fontsize=7, color=colour)

"""Charts as plotly figures, without colours of text and background: the page that shows them has those."""

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from cifar_exp.plots.chart import Axis, Chart, Matrix, Series

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

# Of each unit: the axis's settings, and how a value is shown to a reader who points at it
SETTINGS: dict[str, dict[str, Any]] = {
    "number": {},
    "whole": {},
    "percent": {"tickformat": ".1~%"},
    "cost": {"tickformat": "~s"},
    "name": {"dtick": 1, "type": "category"},
}
WHOLE_TICKS = 10  # fewer epochs than that have one tick each, where plotly would put halves too
SHOWN = {"number": ":.4f", "percent": ":.2%"}


def figure_of(drawn: Chart | Matrix) -> "Figure":
    """Return the figure of a chart or of a confusion matrix."""
    return _matrix(drawn) if isinstance(drawn, Matrix) else _chart(drawn)


def _chart(chart: Chart) -> "Figure":
    names = {name for one in chart.series for name in one.y} if chart.y.unit == "name" else ()
    x, y = _axis(chart.x), _axis(chart.y)
    if names:
        y["range"] = [len(names) - 0.4, -0.6]  # the first at the top
    if chart.x.unit == "whole" and all(float(value) < WHOLE_TICKS for one in chart.series for value in one.x):
        x["dtick"] = 1
    return _figure(
        [_trace(one, chart) for one in chart.series],
        height=140 + 26 * len(names) if names else 420,
        xaxis=x,
        yaxis=y,
        showlegend=bool(chart.labels),
    )


def _axis(axis: Axis) -> dict[str, Any]:
    return {"title": axis.title, **({"rangemode": "tozero"} if axis.from_zero else {}), **SETTINGS[axis.unit]}


def _trace(series: Series, chart: Chart) -> dict[str, Any]:
    x, y = (f"%{{{name}{SHOWN.get(axis.unit, '')}}}" for name, axis in (("x", chart.x), ("y", chart.y)))
    where = f"{chart.x.title} {x}: {series.what or chart.y.title} {y}"
    label = _literal(series.label)
    trace: dict[str, Any] = {
        "type": "scatter",
        "mode": "lines+markers" if series.mark == "line" and len(series.x) < 2 else "lines",
        "x": [_literal(value) if isinstance(value, str) else value for value in series.x],
        "y": [_literal(value) if isinstance(value, str) else value for value in series.y],
        "name": label,
        "legendgroup": label,
        "showlegend": series.in_legend,
        "cliponaxis": series.mark != "dots",
        "hovertemplate": f"{label}<br>{where}<extra></extra>",
    }
    if series.mark == "dots":
        trace["mode"] = "markers+text" if series.names else "markers"
        sizes = [13 if position in series.marked else 9 for position in range(len(series.x))]
        trace["marker"] = {"color": series.colour, "size": sizes, "opacity": 0.85 if not series.names else 1}
    else:
        dash = "dash" if series.mark == "steps" else "dot" if series.is_faint else "solid"
        width = 1.4 if series.is_faint or series.mark == "steps" else 2.4
        trace["line"] = {"color": series.colour, "dash": dash, "width": width}
    if series.mark == "steps":
        trace["line"]["shape"], trace["hoverinfo"], trace["hovertemplate"] = "hv", "skip", None
    if series.details:
        trace["customdata"] = [_literal(one) for one in series.details]
        trace["hovertemplate"] = "%{customdata}<extra></extra>"
    if series.names:
        trace["text"], trace["textposition"] = [_literal(one) for one in series.names], _towards_middle(series, chart)
    return trace


def _literal(text: str) -> str:
    """Return `text` such that plotly shows it as it is: `<b>` and `%{x}` would be its markup and its templates."""
    return escape(text, quote=False).replace("%{", "%&#123;").replace("\n", "<br>")


def _towards_middle(series: Series, chart: Chart) -> list[str]:
    """Return where each point's name does not leave the chart."""
    most = max((value for one in chart.series for value in one.x if not isinstance(value, str)), default=0.0)
    fractions = [float(value) / max(most, 1e-9) for value in series.x]
    return ["top left" if one > 0.7 else "top right" if one < 0.3 else "top center" for one in fractions]


def _matrix(matrix: Matrix) -> "Figure":
    names = [_literal(name) for name in matrix.names]
    trace = {
        "type": "heatmap",
        "x": names,
        "y": names,
        "z": matrix.fractions,
        "text": [list(row) for row in matrix.counts],
        "zmin": 0,
        "zmax": 1,
        "xgap": 1,
        "ygap": 1,
        "texttemplate": "%{text}" if matrix.has_numbers else None,
        "colorbar": {"tickformat": ".0%", "thickness": 12, "outlinewidth": 0},
        "hovertemplate": "%{y} predicted as %{x}<br>%{text} images, %{z:.1%} of the class<extra></extra>",
    }
    axis = {"type": "category", "showgrid": False}
    return _figure(
        [trace],
        height=max(440, 160 + 32 * min(len(names), 20)),
        xaxis={**axis, "title": {"text": "predicted class", "standoff": 12}, "tickangle": -45},
        yaxis={**axis, "title": {"text": "true class", "standoff": 14}, "autorange": "reversed"},
        showlegend=False,
    )


def _figure(traces: Sequence[dict[str, Any]], height: int, **layout: Any) -> "Figure":
    """Return a figure that plotly has validated; its part in the browser would ignore what it does not know."""
    from plotly.graph_objects import Figure

    axis = {"automargin": True, "zeroline": False}
    for name in ("xaxis", "yaxis"):
        layout[name] = {**axis, **layout[name]}
    return Figure(
        data=traces,
        layout={
            "template": "none",
            "height": height,
            "margin": {"l": 56, "r": 16, "t": 24, "b": 48},
            "hovermode": "closest",
            "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
            **layout,
        },
    )

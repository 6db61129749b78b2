"""The interactive charts of the HTML page, as plotly figures without colours of text and ground: the page has those."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cifar_exp.report.content import AGAINST, Content, front
from cifar_exp.report.runs import Run

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

LEGEND_RUNS = 12  # more would hide the chart
COUNTS_SHOWN = 12  # classes; more and the numbers in a confusion matrix cannot be read
PERCENT = ".0%"

Chart = dict[str, "Figure"]  # its variants by name; the reader chooses among several


def charts(content: Content) -> dict[str, Chart]:
    """Every chart that the runs have figures for, by name."""
    found = {"curves": curves(content), "costs": costs(content)}
    if content.tested:
        found |= {"classes": classes(content), "confusion": confusion(content.tested)}
    return {name: chart for name, chart in found.items() if chart}


def curves(content: Content) -> Chart:
    """Accuracy and loss over the epochs, of all runs."""
    return {
        "accuracy": _curve(content, "acc", {"title": "accuracy", "tickformat": PERCENT}, ".2%"),
        "loss": _curve(content, "loss", {"title": "loss"}, ".4f"),
    }


def _curve(content: Content, figure_name: str, yaxis: dict[str, Any], format_: str) -> "Figure":
    traces = []
    for run in content.runs:
        epochs = [row["epoch"] + 1 for row in run.rows]
        for part, word, dash in (("val", "validation", "solid"), ("train", "training", "dot")):
            traces.append(
                {
                    "type": "scatter",
                    "mode": "lines+markers" if len(epochs) < 2 else "lines",
                    "x": epochs,
                    "y": [row[f"{part}/{figure_name}"] for row in run.rows],
                    "name": run.label,
                    "legendgroup": run.label,
                    "showlegend": part == "val",
                    "line": {"color": content.colour(run), "dash": dash, "width": 2.4 if part == "val" else 1.4},
                    "hovertemplate": f"{run.label}<br>epoch %{{x}}: {word} %{{y:{format_}}}<extra></extra>",
                }
            )
    legend = len(content.runs) <= LEGEND_RUNS
    return _figure(traces, xaxis={"title": "epoch"}, yaxis=yaxis, showlegend=legend)


def costs(content: Content) -> Chart:
    """Validation accuracy against each cost, with the front."""
    return {word: _cost(content, key, word) for key, word in AGAINST.items()}


def _cost(content: Content, key: str, word: str) -> "Figure":
    runs = [run for run in content.runs if run.result.get(key) is not None]
    best = front(runs, key)
    texts = [f"{run.label}<br>{word}: {_number(run.result[key])}<br>test {run.result['test/acc']:.2%}" for run in runs]
    traces: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines",
            "x": [run.result[key] for run in best],
            "y": [run.result["val/acc"] for run in best],
            "line": {"shape": "hv", "dash": "dash", "width": 1.4, "color": "#8a8a8a"},
            "hoverinfo": "skip",
        },
        {
            "type": "scatter",
            "mode": "markers+text" if len(runs) <= LEGEND_RUNS else "markers",
            "x": [run.result[key] for run in runs],
            "y": [run.result["val/acc"] for run in runs],
            "text": [run.label for run in runs],
            "textposition": [_beside(run.result[key], runs, key) for run in runs],
            "customdata": texts,
            "marker": {
                "opacity": 1,
                "size": [13 if run in best else 9 for run in runs],
                "color": [content.colour(run) for run in runs],
            },
            "cliponaxis": False,
            "hovertemplate": "%{customdata}<br>validation %{y:.2%}<extra></extra>",
        },
    ]
    return _figure(
        traces,
        xaxis={"title": word, "rangemode": "tozero", "tickformat": "~s"},
        yaxis={"title": "validation accuracy", "tickformat": ".1%"},
        showlegend=False,
    )


def _beside(value: float, runs: Sequence[Run], key: str) -> str:
    """Where a label does not leave the chart: towards its middle."""
    share = value / max(max(run.result[key] for run in runs), 1e-9)
    return "top left" if share > 0.7 else "top right" if share < 0.3 else "top center"


def classes(content: Content) -> Chart:
    """Test accuracy a class, a dot a run."""
    traces = []
    for run in content.tested:
        shares = (run.test or {})["class_acc"]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": list(shares.values()),
                "y": list(shares),
                "name": run.label,
                "marker": {"color": content.colour(run), "size": 11, "opacity": 0.85},
                "hovertemplate": f"%{{y}}: %{{x:.2%}}<br>{run.label}<extra></extra>",
            }
        )
    names = {name for trace in traces for name in trace["y"]}
    return {
        "per-class accuracy": _figure(
            traces,
            height=140 + 26 * len(names),
            xaxis={"title": "test accuracy", "tickformat": PERCENT},
            yaxis={"autorange": "reversed", "dtick": 1, "type": "category"},
        )
    }


def confusion(runs: Sequence[Run]) -> Chart:
    """Who was taken for whom, of each run: the share of a true class that got each answer."""
    return {run.label: _confusion(run) for run in runs}


def _confusion(run: Run) -> "Figure":
    test = run.test or {}
    names, counts = list(test["class_acc"]), test["confusion"]
    shares = [[number / max(sum(row), 1) for number in row] for row in counts]
    trace = {
        "type": "heatmap",
        "x": names,
        "y": names,
        "z": shares,
        "text": counts,
        "zmin": 0,
        "zmax": 1,
        "xgap": 1,
        "ygap": 1,
        "texttemplate": "%{text}" if len(names) <= COUNTS_SHOWN else None,
        "colorbar": {"tickformat": PERCENT, "thickness": 12, "outlinewidth": 0},
        "hovertemplate": "%{y} predicted as %{x}<br>%{text} images, %{z:.1%} of the class<extra></extra>",
    }
    return _figure(
        [trace],
        height=max(440, 160 + 32 * min(len(names), 20)),
        xaxis={
            "title": {"text": "predicted class", "standoff": 12},
            "type": "category",
            "tickangle": -45,
            "showgrid": False,
        },
        yaxis={
            "title": {"text": "true class", "standoff": 14},
            "type": "category",
            "autorange": "reversed",
            "showgrid": False,
        },
        showlegend=False,
    )


def _figure(traces: Sequence[dict[str, Any]], height: int = 420, **layout: Any) -> "Figure":
    """Validates what plotly's browser part would silently ignore."""
    from plotly.graph_objects import Figure

    axis = {"automargin": True, "zeroline": False}
    for name in ("xaxis", "yaxis"):
        layout[name] = {**axis, **layout.get(name, {})}
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


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.2f}"

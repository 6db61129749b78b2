"""The charts of a report, as plain data: for the pictures of the Markdown document and for the page."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from cifar_exp.network.cost import COSTS
from cifar_exp.plots.chart import LEGEND_LABELS, Axis, Chart, Matrix, Series, pareto_front, pareto_series
from cifar_exp.plots.curves import ACCURACY, EPOCH, LOSS, curve
from cifar_exp.plots.pictures import draw_charts, draw_matrices
from cifar_exp.report.content import Content, best_of
from cifar_exp.report.runs import ReportedRun

MATRICES = 6  # in one picture
# What accuracy is plotted against: figures of `result.json` with their names
AGAINST = {key: name for key, name in COSTS.items() if key != "trainable_params"}
AGAINST["seconds_per_epoch"] = "seconds per epoch"

Variants = Mapping[str, Chart | Matrix]  # of one chart, by name; the reader chooses among several


def charts(content: Content) -> dict[str, Variants]:
    """Return every chart that the runs have figures for, by name."""
    found: dict[str, Variants] = {"curves": curves(content), "costs": costs(content)}
    if content.tested:
        found |= {"classes": {"per-class accuracy": classes(content)}, "confusion": confusion(content)}
    return {name: variants for name, variants in found.items() if variants}


def draw_pictures(directory: Path, content: Content) -> dict[str, str]:
    """Write every picture that the runs have figures for; return what each file shows."""
    over_epochs = list(curves(content).values())
    draw_charts(directory / "curves.png", over_epochs, "solid: validation, dotted: training")
    draw_charts(directory / "cost.png", [cost(content, "params")])
    written = {"curves.png": "Accuracy and loss over the epochs", "cost.png": "Validation accuracy against parameters"}
    if content.tested:
        by_class = classes(content)
        height = 1.4 + 0.3 * max(len(one.y) for one in by_class.series)
        draw_charts(directory / "classes.png", [by_class], height=height)
        matrices = confusion(content)
        best = best_of(content.tested, MATRICES)
        draw_matrices(directory / "confusion.png", [matrices[run.label] for run in best])
        written |= {
            "classes.png": "Per-class test accuracy",
            "confusion.png": "Test images by true and predicted class",
        }
    return written


def curves(content: Content) -> dict[str, Chart]:
    """Return accuracy and loss over the epochs, of all runs."""
    return {axis.title: _curves(content, name, axis) for name, axis in (("acc", ACCURACY), ("loss", LOSS))}


def _curves(content: Content, name: str, axis: Axis) -> Chart:
    series: list[Series] = []
    for run in content.runs:
        label, colour = content.label(run), content.colour(run)
        series += [
            curve(run.rows, f"val/{name}", label, colour, what="validation"),
            curve(run.rows, f"train/{name}", label, colour, what="training", is_faint=True, in_legend=False),
        ]
    return Chart(EPOCH, axis, series)


def costs(content: Content) -> dict[str, Chart]:
    """Return validation accuracy against each cost that a run knows, with the Pareto front."""
    known = [key for key in AGAINST if any(run.result.get(key) is not None for run in content.runs)]
    return {AGAINST[key]: cost(content, key) for key in known}


def cost(content: Content, key: str) -> Chart:
    """Return validation accuracy against one figure of `result.json`."""
    runs = [run for run in content.runs if run.result.get(key) is not None]
    best = front(runs, key)
    points = [
        Series(
            content.label(run),
            [run.result[key]],
            [run.result["val/acc"]],
            content.colour(run),
            mark="dots",
            in_legend=False,
            names=[content.label(run)] if len(runs) <= LEGEND_LABELS else (),
            details=[_details(content.label(run), run, key)],
            marked=frozenset({0} if run in best else ()),
        )
        for run in runs
    ]
    through = pareto_series([run.result[key] for run in best], [run.result["val/acc"] for run in best])
    return Chart(Axis(AGAINST[key], "cost", from_zero=True), Axis("validation accuracy", "percent"), [through, *points])


def front(runs: Sequence[ReportedRun], cost: str) -> list[ReportedRun]:
    """Return the runs on the Pareto front of validation accuracy against `cost`, the cheapest first."""
    return [runs[place] for place in pareto_front([(run.result[cost], -run.result["val/acc"]) for run in runs])]


def _details(label: str, run: ReportedRun, key: str) -> str:
    value, accuracy = run.result[key], run.result["val/acc"]
    number = f"{value:,}" if isinstance(value, int) else f"{value:.2f}"
    return f"{label}\n{AGAINST[key]}: {number}\ntest {run.result['test/acc']:.2%}\nvalidation {accuracy:.2%}"


def classes(content: Content) -> Chart:
    """Return per-class test accuracy, one dot per run."""
    tests = [(run, run.test.class_acc) for run in content.tested if run.test]
    series = [
        Series(
            content.label(run), list(found.values()), list(found), content.colour(run),
            mark="dots", what="test accuracy",
        )
        for run, found in tests
    ]  # fmt: skip
    return Chart(Axis("test accuracy", "percent"), Axis("", "name"), series)


def confusion(content: Content) -> dict[str, Matrix]:
    """Return the confusion matrix of each run that has been tested."""
    tests = [(run, run.test) for run in content.tested if run.test]
    return {run.label: Matrix(content.label(run), list(test.class_acc), test.confusion) for run, test in tests}

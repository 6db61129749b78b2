"""The picture of a sweep: accuracy against cost with the Pareto front, and the importance of each key."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from optuna.trial import FrozenTrial, TrialState

from cifar_exp.network.cost import COSTS
from cifar_exp.plots.chart import Axis, Chart, Series, Value, pareto_series
from cifar_exp.plots.pictures import draw_charts
from cifar_exp.sweep.output import ranking
from cifar_exp.sweep.settings import SweepSettings

TRIAL, PRUNED, FRONT, LIMIT = "#2a78b5", "#9aa5ad", "#d1622b", "#3d3d3d"
BARS = 12  # of importances


def plot_sweep(
    path: Path,
    trials: Sequence[FrozenTrial],
    settings: SweepSettings,
    importances: Mapping[str, float],
    budget: Mapping[str, int | None],
) -> None:
    """Write one picture: val/acc against params (or against the cost that is an objective), and the importances."""
    cost = next((name for name in settings.metrics if name in COSTS), "params")
    charts = [_accuracies(trials, cost, budget.get(cost))]
    if importances:
        keys = [".".join(key.split(".")[-2:]) for key in importances][:BARS]  # conv7.channels
        bars = Series("", list(importances.values())[:BARS], keys, TRIAL, mark="bars")
        charts.append(Chart(Axis("importance (PED-ANOVA)", "percent"), Axis("", "name"), [bars]))
    priced, within = ranking.candidates(trials)
    found = f"; {within:,} of {priced:,} candidates within the budget" if priced > within else ""
    title = f"{settings.study_name}: {len(ranking.complete(trials))} trials trained to the end{found}"
    draw_charts(path, charts, title, height=4.8)


def _accuracies(trials: Sequence[FrozenTrial], cost: str, limit: int | None) -> Chart:
    known = [trial for trial in trials if ranking.accuracy(trial) is not None and cost in trial.user_attrs]
    complete, pruned = (
        _points([trial for trial in known if trial.state == state], cost)
        for state in (TrialState.COMPLETE, TrialState.PRUNED)
    )
    best = ranking.accuracy_front(trials, cost)
    numbers = [str(trial.number) for trial in best]
    series = [
        pareto_series(*_points(best, cost)),
        Series("complete", *complete, TRIAL, mark="dots"),
        Series("pruned", *pruned, PRUNED, mark="rings", in_legend=bool(pruned[0])),
        Series("", *_points(best, cost), FRONT, mark="dots", in_legend=False, names=numbers),
    ]
    if limit is not None:
        heights = [float(one) for one in (*complete[1], *pruned[1])]
        ends = [min(heights) - 0.01, max(heights) + 0.01]
        series.append(Series(f"budget {limit:,}", [limit, limit], ends, LIMIT, is_faint=True))
    return Chart(Axis(COSTS[cost], "cost"), Axis("validation accuracy", "percent"), series)


def _points(trials: Sequence[FrozenTrial], cost: str) -> tuple[list[Value], list[Value]]:
    """Return the cost and the accuracy of each trial."""
    return [trial.user_attrs[cost] for trial in trials], [ranking.accuracy(trial) or 0.0 for trial in trials]

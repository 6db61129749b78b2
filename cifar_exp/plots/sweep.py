"""The picture of a sweep: accuracy against cost with the Pareto front, and the importance of each key."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from cifar_exp.network.cost import COSTS
from cifar_exp.plots.figure import literal, new_figure, save
from cifar_exp.plots.pictures import plain_axes
from cifar_exp.sweep.output import ranking
from cifar_exp.sweep.settings import SweepSettings

TRIAL, PRUNED, FRONT, LIMIT = "#2a78b5", "#9aa5ad", "#d1622b", "#3d3d3d"
SHOWN = 12  # bars of importances


def plot_sweep(
    path: Path,
    trials: Sequence[FrozenTrial],
    settings: SweepSettings,
    importances: Mapping[str, float],
    budget: Mapping[str, int | None],
) -> None:
    """Write one figure: val/acc over params (or over the cost that is an objective), and the importances."""
    figure = new_figure(12 if importances else 7.5, 4.8)
    widths = [3, 2] if importances else [1]
    axes = figure.subplots(1, len(widths), squeeze=False, width_ratios=widths)[0]
    cost = next((name for name in settings.metrics if name in COSTS), "params")
    _scatter(axes[0], trials, cost, budget.get(cost))
    if importances:
        _bars(axes[1], importances)
    priced, within = ranking.candidates(trials)
    found = f"; {within:,} of {priced:,} candidates within the budget" if priced > within else ""
    figure.suptitle(f"{literal(settings.study_name)}: {len(ranking.complete(trials))} trials trained to the end{found}")
    save(figure, path, dpi=150)


def _scatter(axes: Any, trials: Sequence[FrozenTrial], cost: str, limit: int | None) -> None:
    from matplotlib.ticker import EngFormatter, PercentFormatter

    kinds = (
        (TrialState.COMPLETE, "complete", {"color": TRIAL}),
        (TrialState.PRUNED, "pruned", {"facecolors": "none", "edgecolors": PRUNED}),
    )
    for state, label, style in kinds:
        points = [t for t in trials if t.state == state and ranking.accuracy(t) is not None and cost in t.user_attrs]
        if points:
            costs = [t.user_attrs[cost] for t in points]
            axes.scatter(costs, [ranking.accuracy(t) for t in points], s=34, label=label, zorder=2, **style)
    best = ranking.accuracy_front(trials, cost)
    costs, accuracies = [t.user_attrs[cost] for t in best], [ranking.accuracy(t) for t in best]
    axes.step(costs, accuracies, where="post", color=FRONT, linewidth=1.4, zorder=1)
    axes.scatter(costs, accuracies, s=54, color=FRONT, label="Pareto front", zorder=3)
    for trial in best:
        where = (trial.user_attrs[cost], ranking.accuracy(trial))
        axes.annotate(str(trial.number), where, (0, 7), textcoords="offset points", ha="center", fontsize=8)
    if limit is not None:
        axes.axvline(limit, color=LIMIT, linestyle=":", linewidth=1.4, label=f"budget {limit:,}")
    axes.set_xlabel(COSTS[cost])
    axes.set_ylabel("validation accuracy")
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.margins(y=0.12)
    plain_axes(axes)
    axes.legend(frameon=False, loc="best", fontsize=9)


def _bars(axes: Any, importances: Mapping[str, float]) -> None:
    from matplotlib.ticker import PercentFormatter

    shown = list(importances.items())[:SHOWN][::-1]
    axes.barh([_short(key) for key, _ in shown], [one for _, one in shown], color=TRIAL, height=0.65)
    axes.set_xlabel("importance (PED-ANOVA)")
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.grid(alpha=0.25, axis="x")
    axes.spines[["top", "right"]].set_visible(False)


def _short(key: str) -> str:
    """`conv7.channels` for `model.layers.conv7.channels`."""
    return literal(".".join(key.split(".")[-2:]))

"""Figures of a study's trials: the best, the front, the fraction within the budget."""

from collections.abc import Sequence
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from cifar_exp.plots.chart import pareto_front
from cifar_exp.sweep.settings import SweepSettings

STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
}


def complete(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Return those that trained to their end."""
    return [trial for trial in trials if trial.state == TrialState.COMPLETE]


def front(trials: Sequence[FrozenTrial], settings: SweepSettings) -> list[FrozenTrial]:
    """Return the complete trials that no other beats in every objective; of one objective, the best trial alone."""
    signs = [-1.0 if direction == "maximize" else 1.0 for direction in settings.directions]
    done = complete(trials)
    losses = [[sign * value for sign, value in zip(signs, trial.values, strict=True)] for trial in done]
    return [done[place] for place in sorted(pareto_front(losses))]


def best(trials: Sequence[FrozenTrial], settings: SweepSettings) -> FrozenTrial | None:
    """Return the best trial, of several objectives the best in the first one; None where there is no trial."""
    sign = -1.0 if settings.directions[0] == "maximize" else 1.0
    return min(front(trials, settings), key=lambda trial: sign * trial.values[0], default=None)


def accuracy_front(trials: Sequence[FrozenTrial], cost: str) -> list[FrozenTrial]:
    """Return the complete trials on the Pareto front of val/acc against `cost`, by rising cost."""
    known = [trial for trial in complete(trials) if accuracy(trial) is not None and cost in trial.user_attrs]
    points = [(trial.user_attrs[cost], -(accuracy(trial) or 0.0)) for trial in known]
    return [known[place] for place in pareto_front(points)]


def accuracy(trial: FrozenTrial) -> float | None:
    """Return the trial's val/acc: of its best epoch where it has ended, else the last one reported."""
    if "val/acc" in trial.user_attrs:
        return float(trial.user_attrs["val/acc"])
    return trial.intermediate_values[trial.last_step] if trial.last_step is not None else None


def seconds(trial: FrozenTrial) -> float | None:
    """Return how long the trial took, interruptions not counted."""
    if "seconds" in trial.user_attrs:
        return float(trial.user_attrs["seconds"])
    return trial.duration.total_seconds() if trial.duration is not None else None


def candidates(trials: Sequence[FrozenTrial]) -> tuple[int, int]:
    """Return how many candidates were priced for these trials, and how many of them were within the budget."""
    priced, within = (sum(int(one.user_attrs.get(name, 0)) for one in trials) for name in ("priced", "within_budget"))
    return priced, within


def values_of(trial: FrozenTrial, metrics: Sequence[str]) -> dict[str, Any]:
    """Return the trial's objectives by name."""
    return dict(zip(metrics, trial.values or [], strict=False))

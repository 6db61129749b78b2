"""What a report contains, whichever way it is written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cifar_exp.network.cost import COSTS
from cifar_exp.plots.chart import pareto_front
from cifar_exp.report.runs import Collection, Run

RUNS_IN_ORDER = 12  # more are sorted by validation accuracy
RUNS_IN_DETAIL = 12  # with confusion matrix and layer table

# What accuracy is plotted against: figures of `result.json` with their names
AGAINST = {
    **{key: COSTS[key] for key in ("params", "macs", "peak_activation_bytes", "flash_bytes", "sram_bytes")},
    "seconds_per_epoch": "seconds per epoch",
}
PALETTE = (
    "#3b82c4", "#e0752d", "#2f9e6e", "#c8457a", "#8a63d2", "#b58a00", "#1a9fb5", "#a0654f", "#7f8c3a", "#d14b4b",
)  # fmt: skip  # readable on white and on black


@dataclass(frozen=True)
class Content:
    """The runs in the order of the report, and those left out with their status."""

    runs: Sequence[Run]
    left_out: Mapping[Path, str]

    @classmethod
    def of(cls, collection: Collection) -> "Content":
        """Return few runs as the user gave them, many sorted, the best first."""
        runs = list(collection.runs)
        if len(runs) > RUNS_IN_ORDER:
            runs.sort(key=lambda run: -run.result["val/acc"])
        return cls(runs, collection.left_out)

    @property
    def detailed(self) -> Sequence[Run]:
        """The runs that are shown in detail: the best by validation accuracy, in the order of the report."""
        best = sorted(self.runs, key=lambda run: -run.result["val/acc"])[:RUNS_IN_DETAIL]
        return [run for run in self.runs if run in best]

    @property
    def tested(self) -> Sequence[Run]:
        """Those of them whose test by class is known."""
        return [run for run in self.detailed if run.test]

    def colour(self, run: Run) -> str:
        """Return a run's colour in every chart."""
        return PALETTE[self.runs.index(run) % len(PALETTE)]

    @property
    def title(self) -> str:
        """`model2, model3`, or how many runs there are."""
        labels = ", ".join(run.label for run in self.runs)
        return labels if len(labels) <= 60 else f"{len(self.runs)} runs"


def front(runs: Sequence[Run], cost: str) -> list[Run]:
    """Return the runs on the Pareto front of validation accuracy against `cost`, the cheapest first."""
    return [runs[position] for position in pareto_front([(run.result[cost], run.result["val/acc"]) for run in runs])]

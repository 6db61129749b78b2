"""What a report contains, whichever way it is written: the finished runs below some directories."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cifar_exp.config.messages import collected
from cifar_exp.errors import UserError
from cifar_exp.plots.chart import middle_cut
from cifar_exp.report.runs import ReportedRun, read_run, with_labels
from cifar_exp.runs.directory import RunDir
from cifar_exp.runs.lock import status

RUNS_IN_ORDER = 12  # more are sorted by validation accuracy
RUNS_IN_DETAIL = 12  # with confusion matrix and layer table
NAMES_SHOWN = 8
LABEL_LENGTH = 48
PALETTE = (
    "#3b82c4", "#e0752d", "#2f9e6e", "#c8457a", "#8a63d2", "#b58a00", "#1a9fb5", "#a0654f", "#7f8c3a", "#d14b4b",
)  # fmt: skip  # readable on white and on black


@dataclass(frozen=True)
class Content:
    """The runs in the order of the report, and the directories of those left out, with their status."""

    runs: Sequence[ReportedRun]
    left_out: Mapping[Path, str]

    @property
    def detailed(self) -> Sequence[ReportedRun]:
        """The runs that are shown in detail: the best by validation accuracy, in the order of the report."""
        best = best_of(self.runs, RUNS_IN_DETAIL)
        return [run for run in self.runs if run in best]

    @property
    def tested(self) -> Sequence[ReportedRun]:
        """Those of them whose test by class is known."""
        return [run for run in self.detailed if run.test]

    def colour(self, run: ReportedRun) -> str:
        """Return a run's colour in every chart."""
        return PALETTE[self.runs.index(run) % len(PALETTE)]

    def label(self, run: ReportedRun) -> str:
        """Return a run's label in every chart, where a long one would leave no room for the points."""
        return middle_cut(run.label, LABEL_LENGTH)

    @property
    def title(self) -> str:
        """`model2, model3`, or how many runs there are."""
        labels = ", ".join(run.label for run in self.runs)
        return labels if len(labels) <= 60 else f"{len(self.runs)} runs"


def best_of(runs: Sequence[ReportedRun], count: int) -> list[ReportedRun]:
    """Return the `count` best runs by validation accuracy, the best first."""
    return sorted(runs, key=lambda run: -run.result["val/acc"])[:count]


def collect(paths: Iterable[Path]) -> Content:
    """Return the finished runs in `paths`, few in the order given, many sorted, the best first.

    A directory that is no run stands for the runs in it.

    Raises:
        UserError: a directory without any run, or no finished one in all of them.
    """
    directories: dict[Path, Path] = {}
    for path in paths:
        found = list(runs_below(path))
        if not found:
            raise UserError(f"runs: {path}: neither a run nor a directory of runs (a run has a result.json).")
        directories |= {one.resolve(): one for one in found}
    states = collected(*(partial(status, RunDir(one)) for one in directories.values()))
    left_out = {one: state for one, state in zip(directories.values(), states, strict=True) if state != "finished"}
    if len(left_out) == len(states):
        raise UserError(f"runs: none has finished:\n{listed(left_out)}")
    runs = collected(*(partial(read_run, one) for one in directories.values() if one not in left_out))
    runs = with_labels(runs)
    return Content(best_of(runs, len(runs)) if len(runs) > RUNS_IN_ORDER else runs, left_out)


def listed(left_out: Mapping[Path, str]) -> str:
    """Return the directories of runs that have not finished, at most 8, one per line."""
    lines = [f"  {path}: {status}" for path, status in left_out.items()]
    more = [f"  … and {len(lines) - NAMES_SHOWN} more"] if len(lines) > NAMES_SHOWN else []
    return "\n".join([*lines[:NAMES_SHOWN], *more])


def runs_below(path: Path, above: frozenset[Path] = frozenset()) -> Iterator[Path]:
    """`path` if it is a run's directory, else the runs in it, in the order of their names; `above` contain it."""
    files = RunDir(path)
    if files.result.is_file() or files.config.is_file():
        yield path
        return
    above |= {path.resolve()}
    try:
        children = [one for one in path.iterdir() if one.is_dir() and one.name[0] != "." and one.resolve() not in above]
    except OSError as error:
        raise UserError(f"runs: {path}: cannot be read ({error.strerror}).") from None
    for child in sorted(children, key=lambda child: (len(child.name) if child.name.isdigit() else 0, child.name)):
        yield from runs_below(child, above)

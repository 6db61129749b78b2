"""What one sees while a sweep runs: a live table on a terminal, a line a trial elsewhere; on stderr."""

from collections.abc import Callable, Sequence
from datetime import datetime
from statistics import median
from typing import Any

from optuna.trial import FrozenTrial, TrialState
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cifar_exp.console import Console
from cifar_exp.sweep.output import ranking
from cifar_exp.sweep.settings import SweepSettings

ROWS = 14  # trials shown: those that run, and the last that ended
REFRESH = 2  # times a second

COLUMNS = {"trial": 5, "state": 8, "params": 7, "MACs": 7, "val/acc": 7, "epoch": 5, "time": 8}  # widths

STYLES = {"complete": "", "pruned": "dim", "failed": "red", "running": "cyan"}


class Display:
    """Shows the trials of a study, those of other workers included."""

    def __init__(self, settings: SweepSettings, trials: Callable[[], Sequence[FrozenTrial]]) -> None:
        self._settings = settings
        self._trials = trials
        self._console = Console(stderr=True)
        self._live: Live | None = None
        self._reported: set[int] = set()
        self._is_over = False

    def __enter__(self) -> "Display":
        if self._console.is_screen:
            self._live = Live(console=self._console, get_renderable=self._table, refresh_per_second=REFRESH)
            self._live.start()
        else:
            self._reported = {trial.number for trial in self._trials() if trial.state.is_finished()}
            if self._reported:
                self._print(f"{self._settings.study_name}: continues, {self._status(self._trials())}")
        return self

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def update(self) -> None:
        """Report the trials that have ended since; the live table does so by itself."""
        if self._live is not None:
            return
        trials = self._trials()
        for trial in trials:
            if trial.state.is_finished() and trial.number not in self._reported:
                self._reported.add(trial.number)
                self._print(self._line(trial, trials))

    def finish(self) -> None:
        """Report that the sweep is over."""
        self._is_over = True
        self.update()
        if self._live is None:
            self._print(f"{self._settings.study_name}: {self._status(self._trials())}")

    def _print(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)

    def _line(self, trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> str:
        parts = [f"trial {trial.number:>3}  {ranking.STATES[trial.state]:<8}"]
        if "params" in trial.user_attrs:
            parts.append(f"{trial.user_attrs['params']:>9,} params")
        if ranking.accuracy(trial) is not None:
            parts.append(f"val/acc {ranking.accuracy(trial):.4f}")
        reason = trial.user_attrs.get("reason")
        if reason and trial.state == TrialState.FAIL:
            parts.append(str(reason).splitlines()[0][:80])
        return "  ".join([*parts, f"| {self._status(trials)}"])

    def _status(self, trials: Sequence[FrozenTrial]) -> str:
        """Return the counts of trials, the best, the fraction within the budget, and the time left."""
        ended = [trial for trial in trials if trial.state.is_finished()]
        parts = [f"{len(ended)} of {max(self._settings.n_trials, len(ended))} trials ended"]
        winner = ranking.best(trials, self._settings)
        if winner is not None:
            value = ranking.values_of(winner, self._settings.metrics)
            parts.append(
                f"best {', '.join(f'{name} {_figure(one)}' for name, one in value.items())} (trial {winner.number})"
            )
        priced, within = ranking.candidates(trials)
        if priced:
            parts.append(f"{_percent(within / priced)} of {priced:,} candidates within the budget")
        left = _seconds_left(trials, self._settings.n_trials)
        if left is not None and not self._is_over:
            parts.append(f"about {_duration(left)} left")
        return ", ".join(parts)

    def _table(self) -> Any:
        trials = self._trials()
        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
        for name, width in COLUMNS.items():
            table.add_column(name, justify="left" if name == "state" else "right", no_wrap=True, min_width=width)
        table.add_column("candidate", overflow="ellipsis", no_wrap=True, style="dim", ratio=1)
        winner = ranking.best(trials, self._settings)
        shown = [t for t in trials if t.state in ranking.STATES][-ROWS:]
        for trial in shown:
            is_best = winner is not None and trial.number == winner.number
            style = "bold green" if is_best else STYLES[ranking.STATES[trial.state]]
            table.add_row(*_cells(trial), style=style)
        return Group(Text(f"{self._settings.study_name}: {self._status(trials)}", style="bold"), table)


def _cells(trial: FrozenTrial) -> list[str]:
    accuracy, seconds = ranking.accuracy(trial), ranking.seconds(trial)
    if trial.state == TrialState.RUNNING and trial.datetime_start is not None:
        seconds = (datetime.now() - trial.datetime_start).total_seconds()
    reason = trial.user_attrs.get("reason") if trial.state == TrialState.FAIL else None
    what = (
        str(reason).splitlines()[0] if reason else " ".join(f"{_short(k)}={_value(v)}" for k, v in trial.params.items())
    )
    return [
        str(trial.number),
        ranking.STATES[trial.state],
        f"{trial.user_attrs['params']:,}" if "params" in trial.user_attrs else "",
        f"{trial.user_attrs['macs'] / 1e6:.2f} M" if "macs" in trial.user_attrs else "",
        f"{accuracy:.4f}" if accuracy is not None else "",
        str(trial.last_step) if trial.last_step is not None else "",
        _duration(seconds) if seconds is not None else "",
        what,
    ]


def _value(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _short(key: str) -> str:
    """`conv7` for `model.layers.conv7.channels`, `optimizer.lr` for itself."""
    return key.removeprefix("model.layers.").removeprefix("model.").removesuffix(".channels")


def _seconds_left(trials: Sequence[FrozenTrial], n_trials: int) -> float | None:
    """Return the median trial's time for those that are left, shared among those that run at once."""
    times = [time for t in trials if t.state.is_finished() and (time := ranking.seconds(t)) is not None]
    left = n_trials - sum(trial.state.is_finished() for trial in trials)
    if not times or left <= 0:
        return None
    at_once = max(1, sum(trial.state == TrialState.RUNNING for trial in trials))
    return median(times) * left / at_once


def _duration(seconds: float) -> str:
    """`42 s`, `3:20 min`, `1:05 h`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02} min" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02} h"


def _figure(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 10 else f"{value:,.0f}"


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.1 else f"{share:.2%}"

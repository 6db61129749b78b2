"""The files of a sweep, each whole at any moment: trials.csv, the best model, a summary, and at the end a plot."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from optuna.trial import FrozenTrial, TrialState

from cifar_exp.files import write_text
from cifar_exp.network.cost import cost_line
from cifar_exp.sweep.output import ranking
from cifar_exp.sweep.output.best_settings import write_best_settings
from cifar_exp.sweep.output.importance import importances
from cifar_exp.sweep.output.plot import plot_sweep
from cifar_exp.sweep.search.space import Space
from cifar_exp.sweep.settings import SweepSettings

TRIALS, RESULTS, PLOT, BEST = "trials.csv", "optimization_results.yaml", "sweep.png", "best/model/best.yaml"

NETWORK_COSTS = ("params", "macs", "peak_activation_bytes")
FIRMWARE_COSTS = ("flash_bytes", "sram_bytes")
COST_COLUMNS = (*NETWORK_COSTS, *FIRMWARE_COSTS)
AGAIN = 1.1  # times as many trials, after which it is computed again what mattered: a second after thousands of trials


class Outputs:
    """The files in `hydra.sweep.dir` besides those of the trials."""

    def __init__(
        self, directory: Path, settings: SweepSettings, space: Space, budget: Mapping[str, int | None]
    ) -> None:
        self._dir = directory
        self._budget = budget
        self._settings = settings
        self._space = space
        self._written: list[int] | None = None  # the trials that had ended when the files were last written
        self._winner: int | None = None  # the trial in `best`
        self._judged: tuple[int, dict[str, float]] = (0, {})  # number of trials, and what mattered among them

    def update(self, trials: Sequence[FrozenTrial]) -> None:
        """Write all but the plot, if a trial has ended since the last call."""
        ended = [trial.number for trial in trials if trial.state.is_finished()]
        if ended == self._written:
            return
        self._written = ended
        write_text(self._dir / TRIALS, self._table(trials))
        write_text(self._dir / RESULTS, yaml.safe_dump(self._results(trials), sort_keys=False))
        winner = ranking.best(trials, self._settings)
        if winner is not None and winner.number != self._winner and "model" in winner.user_attrs:
            self._winner = winner.number
            model = {**winner.user_attrs["model"], "name": "best"}
            write_text(self._dir / BEST, self._header(winner) + model_yaml(model))
            overrides, swept = self._space.overrides(winner.params), self._space.swept
            write_best_settings(self._dir / "best", overrides, swept, model)

    def finish(self, trials: Sequence[FrozenTrial]) -> None:
        """Write all of them."""
        self.update(trials)
        mattered = self._importances(trials, 1.0)
        write_text(self._dir / RESULTS, yaml.safe_dump(self._results(trials), sort_keys=False))
        if any("params" in trial.user_attrs for trial in ranking.complete(trials)):
            plot_sweep(self._dir / PLOT, trials, self._settings, mattered, self._budget)

    def _table(self, trials: Sequence[FrozenTrial]) -> str:
        text, keys = io.StringIO(), self._keys(trials)
        table = csv.writer(text, lineterminator="\n")
        more = [cost for cost in FIRMWARE_COSTS if self._budget.get(cost) or cost in self._settings.metrics]
        table.writerow(["number", "state", "val/acc", *NETWORK_COSTS, "seconds", *keys, *more])
        for trial in trials:
            if trial.state.is_finished():
                network = [trial.user_attrs.get(cost) for cost in NETWORK_COSTS]
                firmware = [trial.user_attrs.get(cost) for cost in more]
                params = self._params(trial)
                swept = [params.get(key) for key in keys]
                figures = [ranking.accuracy(trial), *network, ranking.seconds(trial)]
                table.writerow([trial.number, ranking.STATES[trial.state], *figures, *swept, *firmware])
        return text.getvalue()

    def _keys(self, trials: Sequence[FrozenTrial]) -> list[str]:
        """Return the swept keys, and those that only earlier trials have."""
        return list(dict.fromkeys([*self._space.swept, *(key for trial in trials for key in trial.params)]))

    def _results(self, trials: Sequence[FrozenTrial]) -> dict[str, Any]:
        """Return the best trial, by the names that Hydra's own optimizers use, then how the others ended."""
        ended = [trial for trial in trials if trial.state.is_finished()]
        states = [ranking.STATES[trial.state] for trial in ended]
        priced, within = ranking.candidates(trials)
        return {
            "name": "budgeted",
            "study_name": self._settings.study_name,
            **self._best_results(trials),
            "trials": {state: states.count(state) for state in ("complete", "pruned", "failed")},
            "candidates": {
                "priced": priced,
                "within_budget": within,
                "fraction_within_budget": within / priced if priced else None,
            },
            "importances": self._importances(trials),
            "failed": {
                trial.number: trial.user_attrs.get("reason") for trial in ended if trial.state == TrialState.FAIL
            },
        }

    def _importances(self, trials: Sequence[FrozenTrial], factor: float = AGAIN) -> dict[str, float]:
        """Return how much each key mattered, computed again where there are `factor` times as many trials."""
        count = len(ranking.complete(trials))
        if count >= factor * self._judged[0]:
            self._judged = (count, importances(trials, self._settings))
        return self._judged[1]

    def _best_results(self, trials: Sequence[FrozenTrial]) -> dict[str, Any]:
        metrics = self._settings.metrics
        if len(metrics) > 1:
            found = ranking.front(trials, self._settings)
            solutions = [
                {"number": trial.number, "values": ranking.values_of(trial, metrics), "params": self._params(trial)}
                for trial in sorted(found, key=lambda trial: trial.values[0], reverse=True)
            ]
            return {"solutions": solutions}
        winner = ranking.best(trials, self._settings)
        if winner is None:
            return {"best_value": None}
        costs = {cost: winner.user_attrs[cost] for cost in COST_COLUMNS if cost in winner.user_attrs}
        return {
            "best_trial": winner.number,
            "best_value": winner.values[0],
            "best_params": self._params(winner),
            "best_costs": costs,
        }

    def _params(self, trial: FrozenTrial) -> dict[str, Any]:
        swept = self._space.swept
        return {key: swept[key].plain(value) if key in swept else value for key, value in trial.params.items()}

    def _header(self, winner: FrozenTrial) -> str:
        score = ", ".join(
            f"{name} {value:g}" for name, value in ranking.values_of(winner, self._settings.metrics).items()
        )
        costs = cost_line(winner.user_attrs)
        return f"# Trial {winner.number} of the sweep {self._settings.study_name}: {score}.\n# {costs}.\n"


def model_yaml(model: Mapping[str, Any]) -> str:
    """Return a model as the shipped files have theirs: one line per key, one line per layer."""
    lines = [f"name: {_inline(model['name'])}"]
    for block in ("layer", "layers", "head"):
        if block in model:
            lines.append(f"{block}:")
            lines += [f"  {key}: {_inline(value)}" for key, value in model[block].items()]
    return "\n".join(lines) + "\n"


def _inline(value: Any) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000)
    return text.removesuffix("...\n").strip()

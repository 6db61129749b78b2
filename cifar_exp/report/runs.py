"""A finished run, read back from its directory; and how runs differ."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cifar_exp.data.settings import DataConfig
from cifar_exp.errors import UserError
from cifar_exp.network.cost import costs_of
from cifar_exp.network.plan import Plan
from cifar_exp.network.planner import plan_network
from cifar_exp.network.spec import ModelSpec
from cifar_exp.runs.directory import RunDir
from cifar_exp.runs.result import ClassFigures
from cifar_exp.runs.saved import saved_config, saved_hydra, saved_overrides

OVERRIDES_IN_LABEL = 3


@dataclass(frozen=True, eq=False)
class ReportedRun:
    """One finished run. What an older or a foreign run lacks is None or empty."""

    label: str  # short, and unlike that of any other run in the report
    directory: Path
    result: Mapping[str, Any]  # result.json
    rows: Sequence[Mapping[str, float]]  # metrics.csv, one row per epoch
    test: ClassFigures | None = None  # test.json
    config: Mapping[str, Any] = field(default_factory=dict)  # resolved
    choices: Mapping[str, Any] = field(default_factory=dict)  # the option of each config group
    overrides: Sequence[str] = ()  # the keys that were set on the command line or by a sweep
    plan: Plan | None = None

    def value(self, key: str) -> Any:
        """Return what `key` was in this run: a group's option, or a config value; None where it has none."""
        if key in self.choices:
            return self.choices[key]
        value: Any = self.config
        for name in key.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        return value


def read_run(directory: Path) -> ReportedRun:
    """Return a finished run, labelled by its name."""
    files = RunDir(directory)
    result = files.read_result().document()
    config = saved_config(files.path) if files.config.exists() else {}
    test, hydra = files.read_test(), saved_hydra(files.hydra)
    plan = _plan(config, test)
    return ReportedRun(
        label=str(config.get("name") or result["model"]),
        directory=directory,
        result={**(costs_of(plan) if plan else {}), **result},  # an older result has fewer costs
        rows=files.read_metrics(),
        test=test,
        config=config,
        choices={key: value for key, value in hydra.choices.items() if not key.startswith("hydra/")},
        overrides=[one.partition("=")[0].lstrip("+~") for one in saved_overrides(files.overrides)],
        plan=plan,
    )


def _plan(config: Mapping[str, Any], test: ClassFigures | None) -> Plan | None:
    """Return the network's plan; None where the number of classes is unknown."""
    if test is None or not {"model", "data"} <= set(config):
        return None
    try:
        size = DataConfig.model_validate(config["data"]).image_size
        return plan_network(ModelSpec.model_validate(config["model"]), (3, size, size), len(test.class_acc))
    except (UserError, ValueError):  # of a version that described networks otherwise
        return None


def differing(runs: Sequence[ReportedRun]) -> dict[str, list[Any]]:
    """Return the overridden keys whose values are not the same in all runs, with the value of each run."""
    keys = dict.fromkeys(key for run in runs for key in run.overrides if not key.startswith(("hydra.", "logger.")))
    values = {key: [run.value(key) for run in runs] for key in keys if key not in ("name", "tags", "resume", "trial")}
    return {key: each for key, each in values.items() if any(value != each[0] for value in each)}


def with_labels(runs: Sequence[ReportedRun]) -> list[ReportedRun]:
    """Return the runs with labels that differ: the name, then what differs, then the directory."""
    labels = [run.label for run in runs]
    if len(set(labels)) < len(labels):
        namesakes = {label: [run for run in runs if run.label == label] for label in labels}
        endings = {label: _endings(group) for label, group in namesakes.items()}
        labels = [f"{run.label}{endings[run.label][run]}" for run in runs]
    if len(set(labels)) < len(labels):
        labels = [f"{run.label} {run.directory.name}" for run in runs]
    if len(set(labels)) < len(labels):
        labels = [str(run.directory) for run in runs]
    return [replace(run, label=label) for run, label in zip(runs, labels, strict=True)]


def _endings(namesakes: Sequence[ReportedRun]) -> dict[ReportedRun, str]:
    """Return ` seed=1`: how runs of the same name differ; their directories where that is much."""
    keys = list(differing(namesakes))
    if len(keys) > OVERRIDES_IN_LABEL:
        return {run: f" {run.directory.name}" for run in namesakes}
    return {run: "".join(f" {key.rpartition('.')[2]}={run.value(key)}" for key in keys) for run in namesakes}

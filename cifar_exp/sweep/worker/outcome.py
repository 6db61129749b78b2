"""How a trial ended, read from its directory or from what its job returned."""

import errno
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from omegaconf import OmegaConf
from yaml import YAMLError

from cifar_exp.errors import RunFailedError, UserError
from cifar_exp.runs.directory import RunDir

NO_VALUE = "the job returned no number"
FULL = (errno.ENOSPC, errno.EDQUOT)
UNWRITABLE = "cannot be written"  # as a run reports a full disk
ENDS = {"pruned": "PRUNED", "failed": "FAIL"}  # a run's status → Optuna's state


@dataclass(frozen=True)
class Outcome:
    """How a trial ended: with one value per objective, pruned, or failed for a reason."""

    state: str  # Optuna's: COMPLETE, PRUNED, FAIL
    values: list[float] | None = None
    reason: str | None = None
    figures: Mapping[str, float] = field(default_factory=dict)  # val/acc and seconds


def outcome_in(
    directory: Path, metrics: Sequence[str], costs: Mapping[str, Any] = MappingProxyType({})
) -> Outcome | None:
    """Return the outcome in `result.json`; None where there is none yet, or where the run was interrupted.

    Args:
        directory: the run's.
        metrics: the objectives.
        costs: of the trial; the result has not all of them.
    """
    try:
        result = RunDir(directory).read_result()
    except UserError:  # not there, or damaged
        return None
    given = {"val/acc": result.val_acc, "seconds": result.total_seconds}
    figures = {name: value for name, value in given.items() if value is not None}
    if result.is_finished:
        known = {**costs, **result.document()}
        return _complete([known.get(name) for name in metrics], metrics, figures)
    if result.status in ENDS:
        return Outcome(ENDS[result.status], reason=result.reason or "no reason given", figures=figures)
    return None


def outcome_of(value: Any, metrics: Sequence[str]) -> Outcome:
    """Return the outcome of a job without `result.json`, from what it returned or the exception that ended it."""
    if isinstance(value, BaseException):
        return Outcome("FAIL", reason=f"{type(value).__name__}: {value}".strip(": "))
    values = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    if any(not isinstance(one, int | float) for one in values):
        return Outcome("FAIL", reason=NO_VALUE)
    return _complete(values, metrics, {})


def is_common_cause(value: Any) -> bool:
    """Return whether an exception would end every trial: a user error, or a full disk."""
    is_full = isinstance(value, OSError) and value.errno in FULL
    return isinstance(value, UserError) or is_full or (isinstance(value, RunFailedError) and UNWRITABLE in str(value))


def _complete(values: Sequence[Any], metrics: Sequence[str], figures: Mapping[str, float]) -> Outcome:
    if len(values) != len(metrics):
        return Outcome("FAIL", reason=f"{len(values)} values for {len(metrics)} objectives", figures=figures)
    for value, name in zip(values, metrics, strict=True):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value):
            return Outcome("FAIL", reason=f"{name} is {value}", figures=figures)
    return Outcome("COMPLETE", [float(value) for value in values], figures=figures)


def belongs_to(directory: Path, study_name: str, number: int) -> bool:
    """Return whether a run's directory is that of a trial, by the config in it."""
    try:
        trial = OmegaConf.select(OmegaConf.load(RunDir(directory).config), "trial")
    except (OSError, ValueError, YAMLError):  # not there, or its writer was killed
        return False
    return trial is not None and trial.get("study_name") == study_name and trial.get("number") == number

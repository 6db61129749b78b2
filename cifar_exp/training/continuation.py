"""Whether a run in a directory may be continued with a config."""

from collections.abc import Iterator, Mapping
from typing import Any

from cifar_exp.config.messages import listing, shown
from cifar_exp.config.schema import TrainConfig
from cifar_exp.errors import UserError
from cifar_exp.runs.directory import RunDir
from cifar_exp.runs.saved import FREE, load_config
from cifar_exp.training.callbacks.run_state import RunState

TEACHER = "distill.teacher"  # where it is may change, not whether there is one


def check_continues(run: RunDir, config: TrainConfig) -> None:
    """Raise UserError, naming the differences, where the run in a directory has another config.

    The checkpoint's config counts: that of the directory may have been replaced by the one to be checked.
    """
    saved = RunState.saved(run).get("config") if run.last.is_file() else None
    if saved is None and run.config.is_file():
        saved = load_config(run).model_dump(mode="json")
    if saved is None:
        return
    differences = list(_differences(saved, config.model_dump(mode="json")))
    if differences:
        raise UserError(
            f"{run.path}: contains a run of another config, which cannot be continued:\n{listing(differences)}"
        )


def _differences(saved: Mapping[str, Any], given: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name in dict.fromkeys([*given, *saved]):
        key = f"{prefix}{name}"
        before, now = saved.get(name), given.get(name)
        if before == now or (key in FREE and (key != TEACHER or None not in (before, now))):
            continue
        if key == "trainer.devices" and "auto" in (before, now):  # a job of -m has 1 for auto
            continue
        if isinstance(before, Mapping) and isinstance(now, Mapping):
            yield from _differences(before, now, f"{key}.")
        else:
            yield f"{key}: the run has {shown(before)}, given is {shown(now)}."

"""Sweeps whose trainings only sleep, so that a machine of two cores can measure four workers; and their log.

A training writes what a real one leaves for the sweep: a checkpoint per epoch, `result.json`. Everything around it is
the sweep's own work: proposing, composing, checking and recording.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cifar_exp
from cifar_exp.files import write_text

SCRIPTS = Path(__file__).parents[2]
LOG, SECONDS = "PRETENDED_LOG", "PRETENDED_SECONDS"  # the log's file; how long an epoch takes
SPACE = (
    "model=model50k",
    "data=synthetic",
    "budget.params=50000",
    "model.layer.projection=conv1x1",
    *(f"model.layers.conv{number}.channels=range(16,129)" for number in range(1, 8)),
)


@dataclass(frozen=True)
class Training:
    """One call of the training, which may not have lived to its end."""

    trial: int
    process: int
    first_epoch: int
    begin: float
    end: float | None = None
    rss_bytes: int = 0  # of the process at the begin


def install() -> None:
    """Replace the training of this process."""
    from cifar_exp.training.task import TrainTask

    setattr(TrainTask, "__call__", run_trial)  # noqa: B010 - which mypy would not let be assigned


def run_trial(task: Any, cfg: Any) -> float:
    """Check the config as a training does, sleep for the epochs that are left and leave what the sweep reads."""
    from hydra.core.hydra_config import HydraConfig

    from cifar_exp.checks import check_train

    config, run = check_train(cfg).config, Path(HydraConfig.get().runtime.output_dir)
    assert config.trial is not None
    last = run / "checkpoints" / "last.ckpt"
    first = int(last.read_text()) if last.is_file() else 0
    entry = {"trial": config.trial.number, "process": os.getpid(), "first_epoch": first}
    _log({**entry, "begin": time.time(), "rss_bytes": resident_bytes()})
    for epoch in range(first, config.trainer.max_epochs):
        time.sleep(float(os.environ[SECONDS]))
        write_text(last, str(epoch + 1))
    value = min(0.95, 0.2 + sum(layer.channels for layer in config.model.layers.values()) / 1000)
    result = {"status": "finished", "val/acc": value, "total_seconds": 1.0}
    write_text(run / "result.json", json.dumps(result))
    _log({**entry, "end": time.time()})
    return value


def _log(entry: dict[str, Any]) -> None:
    with open(os.environ[LOG], "a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")


def start(directory: Path, seconds: float, *overrides: str) -> "subprocess.Popen[str]":
    """Start a sweep of pretended trainings in `directory`; its log is `log.jsonl` there."""
    environment = {
        **os.environ,
        "PYTHONPATH": python_path(),
        LOG: str(directory / "log.jsonl"),
        SECONDS: str(seconds),
    }
    return subprocess.Popen(
        [sys.executable, "-m", "cifar_exp", "train", "-m", "hydra/sweeper=budgeted", *SPACE, *overrides],
        cwd=directory,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: "subprocess.Popen[str]") -> None:
    """Wait for a sweep. Raises RuntimeError where it failed."""
    _, errors = process.communicate()
    if process.returncode:
        raise RuntimeError(errors)


def log(directory: Path) -> list[Training]:
    """Return the calls of the training in the order of their begin."""
    file = directory / "log.jsonl"
    entries = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    ends = {(one["trial"], one["process"], one["first_epoch"]): one["end"] for one in entries if "end" in one}
    begun = [Training(**one) for one in entries if "begin" in one]
    return sorted((_ended(one, ends) for one in begun), key=lambda one: one.begin)


def _ended(one: Training, ends: dict[Any, float]) -> Training:
    end = ends.get((one.trial, one.process, one.first_epoch))
    return Training(one.trial, one.process, one.first_epoch, one.begin, end, one.rss_bytes)


def gaps(trainings: Sequence[Training]) -> list[float]:
    """Return the seconds between a training's end and the begin of the next one of the same process."""
    latest: dict[int, float] = {}
    found = []
    for one in trainings:
        if one.process in latest:
            found.append(one.begin - latest[one.process])
        if one.end is not None:
            latest[one.process] = one.end
    return found


def resident_bytes() -> int:
    """Return the resident memory of this process; 0 where the system does not report it."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def python_path() -> str:
    """Return the PYTHONPATH with which the trainings of a process only sleep."""
    package = Path(cifar_exp.__file__).parents[1]
    return os.pathsep.join(map(str, (SCRIPTS / "benchmarks" / "sweeps" / "startup", SCRIPTS, package)))

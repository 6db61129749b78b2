"""`cifar-exp` whose `train` only pretends: no torch, no images, and misfortunes on demand.

Its accuracy is a fixed function of the widths. It writes what a real run writes for the sweep to find.
"""

import errno
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cifar_exp.checks import Planned
from cifar_exp.config.schema import TrainConfig
from cifar_exp.errors import UserError
from cifar_exp.runs.directory import RunDir
from cifar_exp.runs.result import Result

LOG = "STAND_IN_LOG"  # a file to which each start adds: trial number, first epoch, process
SECONDS = "STAND_IN_SECONDS"  # an epoch takes so long
HOLD = "STAND_IN_HOLD"  # while this file exists, no training gets further than its first epoch
MISFORTUNES = "STAND_IN_MISFORTUNES"  # {trial number: what happens}


def variables(directory: Path, seconds: float = 0.0, misfortunes: dict[int, str] | None = None) -> dict[str, str]:
    """The environment of a process whose trainings pretend, with its files in `directory`."""
    return {
        LOG: str(directory / "starts.log"),
        HOLD: str(directory / "hold"),
        SECONDS: str(seconds),
        MISFORTUNES: json.dumps(misfortunes or {}),
    }


def accuracy(widths: list[int]) -> float:
    """The wider the better, up to a point."""
    return round(min(0.95, 0.3 + sum(widths) / 1000), 4)


def train_in(files: RunDir, checked: Planned[TrainConfig], callbacks: Any) -> Result:
    """Pretends to train."""
    cfg = checked.config
    assert cfg.trial is not None
    run, number = files.path, cfg.trial.number
    last = run / "checkpoints" / "last.ckpt"
    first = int(last.read_text()) if last.is_file() else 0
    if LOG in os.environ:
        with open(os.environ[LOG], "a") as log:
            log.write(f"{number} {first} {os.getpid()}\n")
    misfortune = json.loads(os.environ.get(MISFORTUNES, "{}")).get(str(number))
    if misfortune == "raises":
        raise ValueError("no such luck")
    if misfortune == "user error":
        raise UserError("data.root: there is no directory")
    if misfortune == "full disk":
        raise OSError(errno.ENOSPC, "No space left on device")
    if misfortune == "removes the study":
        for file in run.parent.glob("study.db*"):
            file.unlink()
    if misfortune == "exits":
        sys.exit(3)
    for epoch in range(first, cfg.trainer.max_epochs):
        time.sleep(float(os.environ.get(SECONDS, "0")))
        last.parent.mkdir(parents=True, exist_ok=True)
        last.write_text(str(epoch + 1))
        while Path(os.environ.get(HOLD, "")).is_file():
            time.sleep(0.05)
    value = accuracy([layer.channels for layer in cfg.model.layers.values()])
    value = float("nan") if misfortune == "nan" else value
    result: dict[str, Any] = {"status": "finished", "val/acc": value, "total_seconds": 1.0, "epochs": 1}
    result |= {"macs": 1000 - number, "params": 7, "model": cfg.model.name, "seconds_per_epoch": 1.0}
    result |= {"train/acc": 0.5, "test/acc": 0.5, "test/loss": 1.0}
    (run / "result.json").write_text(json.dumps(result))
    if misfortune == "dies before it is told":
        os._exit(9)
    return Result.model_construct(**{key.replace("/", "_"): one for key, one in result.items()})


def replace_training(patch: Callable[[Any, str, Any], None] = setattr) -> None:
    """Put the pretended training in the place of the real one, whose checkpoints it cannot read."""
    import cifar_exp.training.task as task

    patch(task, "train_in", train_in)
    patch(task, "check_directory", lambda *_, **__: False)


def install() -> None:
    """Replace the training; let a driver wait less than it would for jobs in a queue."""
    from cifar_exp.sweep.worker import driver

    replace_training()
    driver.STOP_SECONDS = 2.0
    if "SLURM_CONF" in os.environ:
        from cifar_exp.sweep.worker import slurm

        slurm.POLL_SECONDS = 1.0

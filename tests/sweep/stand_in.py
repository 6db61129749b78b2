"""`cifar-exp` whose `train` only pretends: no torch, no images, and misfortunes on demand.

Its accuracy is a fixed function of the widths. It writes what a real run writes for the sweep to find.
"""

import errno
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig

from cifar_exp.checks import Planned
from cifar_exp.config.schema import TrainConfig
from cifar_exp.errors import UserError

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


def main(checked: Planned[TrainConfig]) -> float:
    """Pretends to train."""
    cfg = checked.config
    assert cfg.trial is not None
    run, number = Path(HydraConfig.get().runtime.output_dir), cfg.trial.number
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
    result: dict[str, Any] = {"status": "finished", "val/acc": value, "total_seconds": 1.0}
    result |= {"macs": 1000 - number, "params": 7, "model": cfg.model.name}
    (run / "result.json").write_text(json.dumps(result))
    if misfortune == "dies before it is told":
        os._exit(9)
    return value


def install() -> None:
    """Put `main` in the place of the command's; let a driver wait less than it would for jobs in a queue."""
    import cifar_exp.cli.commands.train as train
    from cifar_exp.sweep.worker import driver

    train.main = main
    driver.STOP_SECONDS = 2.0
    if "SLURM_CONF" in os.environ:
        from cifar_exp.sweep.worker import slurm

        slurm.POLL_SECONDS = 1.0

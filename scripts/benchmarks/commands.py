"""What the commands take as a whole: start-up, memory, and the time that more images need. Each is a fresh process."""

import csv
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.training import spread

CPU = ("trainer.accelerator=cpu", "trainer.devices=1")
CUDA = ("trainer.accelerator=gpu", "trainer.devices=1")
QUIET = ("trainer.enable_progress_bar=false", "trainer.max_epochs=1", "hydra.run.dir=run")
SHORT = ("trainer.limit_train_batches=1", "trainer.limit_val_batches=1")
SMALL = ("model=model2", *(f"model.layers.conv{number}.channels=8" for number in range(1, 8)), "model.head.hidden=[]")


@dataclass(frozen=True)
class Ended:
    """A process that has ended well."""

    seconds: float
    peak_bytes: int
    first_epoch_seconds: float | None  # from its start until `metrics.csv` was there
    epoch_seconds: float | None  # from `metrics.csv`


def run(*arguments: str) -> Ended:
    """Run `cifar-exp ARGUMENTS…` in an empty directory. Raises RuntimeError where it fails."""
    with tempfile.TemporaryDirectory() as directory:
        clock, started = time.time(), time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "cifar_exp", *arguments],
            cwd=directory,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        assert process.stderr is not None
        errors = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - started
        if status:
            raise RuntimeError(f"cifar-exp {' '.join(arguments)}:\n{errors.decode()}")
        unit = 1 if sys.platform == "darwin" else 1024
        metrics = Path(directory, "run", "metrics.csv")
        if not metrics.is_file():
            return Ended(seconds, usage.ru_maxrss * unit, None, None)
        with metrics.open() as file:
            row = next(csv.DictReader(file))
        return Ended(seconds, usage.ru_maxrss * unit, metrics.stat().st_mtime - clock, float(row["seconds"]))


def startup(device: str, data: Sequence[str], rounds: int) -> dict[str, Any]:
    """Return seconds of `--help` and `summary`, and from a training's start until its first step is recorded.

    The latter includes a first batch of validation, so the first step itself comes a little earlier.
    """
    train = ("train", *data, *(CUDA if device == "cuda" else CPU), *QUIET, *SHORT)
    run(*train)  # decoded images are cached from here on, and files are in memory
    calls: dict[str, tuple[str, ...]] = {"--help": ("--help",), "summary": ("summary",), "first step": train}
    ended: dict[str, list[Ended]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, arguments in calls.items():
            ended[name].append(run(*arguments))
    return {
        "help": spread([one.seconds for one in ended["--help"]]),
        "summary": spread([one.seconds for one in ended["summary"]]),
        "first_step": spread([one.first_epoch_seconds or one.seconds for one in ended["first step"]]),
        "data": data[0],
    }


def memory(device: str, data: Sequence[str]) -> dict[str, Any]:
    """Peak resident bytes of a whole training of `data`: validation, test, wandb's files and all."""
    placed = CUDA if device == "cuda" else CPU
    ended = run("train", *data, *placed, *QUIET, "trainer.limit_train_batches=30")
    return {"peak_bytes": ended.peak_bytes, "data": data[0]}


def scaling(device: str, counts: Sequence[int]) -> dict[str, Any]:
    """Return seconds of an epoch (training and validation) over more and more images, of a network that costs little.

    `straightness` is the largest distance of a figure from seconds = a + b · images, in parts of the figure.
    """
    placed = CUDA if device == "cuda" else CPU
    rows = []
    for count in counts:
        size = f"data.train_size={count}"
        ended = run("train", "data=synthetic", size, *SMALL, *placed, *QUIET, "logger.mode=disabled")
        assert ended.epoch_seconds is not None
        rows.append({"images": count, "seconds": ended.epoch_seconds, "peak_bytes": ended.peak_bytes})
        print(rows[-1], file=sys.stderr)
    return {"epochs": rows, "straightness": round(_bend([(row["images"], row["seconds"]) for row in rows]), 4)}


def _bend(points: Sequence[tuple[float, float]]) -> float:
    """Return the bend; the slope is the median over all pairs of points (Theil–Sen), so that a bad figure shows."""
    pairs = [(a, b) for number, a in enumerate(points) for b in points[number + 1 :]]
    if not pairs:
        return 0.0
    slope = median((b[1] - a[1]) / (b[0] - a[0]) for a, b in pairs)
    start = median(y - slope * x for x, y in points)
    return max(abs(y - start - slope * x) / y for x, y in points)

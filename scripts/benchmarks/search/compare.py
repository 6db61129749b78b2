"""The comparison of search methods: which searches are run, several processes at a time.

Every method searches the same space with the same trainings, until it has trained on as many images as `TRIALS` full
trials do; its winner is trained again for longer and tested once.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.search.lane import Task
from benchmarks.search.methods import METHODS

BUDGET = 50_000
TRIALS, SEEDS = 12, (0, 1, 2)
FILL = "model.layers.conv7.channels"
WIDTHS = {
    "model.layers.conv1.channels": "range(16, 97, step=8)",
    "model.layers.conv3.channels": "range(16, 129, step=8)",
    "model.layers.conv5.channels": "range(16, 129, step=8)",
    FILL: "range(16, 513)",
    "model.head.hidden": "choice([], [64], [128])",
    # A skip joins the layers of a pair, so it needs no projection.
    "model.layers.conv2.channels": "${model.layers.conv1.channels}",
    "model.layers.conv4.channels": "${model.layers.conv3.channels}",
    "model.layers.conv6.channels": "${model.layers.conv5.channels}",
}
RECIPE = ["experiment=model50k", f"budget.params={BUDGET}", "logger.mode=disabled"]
TRIAL = ["trainer.max_epochs=6", "callbacks.ema.decay=0.98"]
FINAL = ["trainer.max_epochs=12", "callbacks.ema.decay=0.99"]


def tasks(overrides: Sequence[str]) -> dict[str, Task]:
    """Return every search of the comparison; `overrides` name the images, the device, the precision."""
    fixed = [*RECIPE, *overrides]
    return {
        _file_name(method, seed): Task(method, seed, WIDTHS, FILL, TRIALS, TRIAL, FINAL, fixed)
        for seed in SEEDS
        for method in METHODS
    }


def _file_name(method: str, seed: int) -> str:
    return f"{method.lower().replace(',', '').replace(' ', '-')}-{seed}"


def run(overrides: Sequence[str], directory: Path, processes: int) -> None:
    """Run what has not been run yet, so many processes at a time; each leaves DIRECTORY/NAME.json."""
    directory.mkdir(parents=True, exist_ok=True)
    waiting = [(name, task) for name, task in tasks(overrides).items() if not _is_done(directory / f"{name}.json")]
    running: list[subprocess.Popen[bytes]] = []
    while waiting or running:
        while waiting and len(running) < processes:
            name, task = waiting.pop(0)
            command = [sys.executable, "-m", "benchmarks.search.lane", str(directory / f"{name}.json")]
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
            running.append(subprocess.Popen([*command, json.dumps(asdict(task))], env=environment))
        running[0].wait()
        running = [process for process in running if process.poll() is None]


def _is_done(file: Path) -> bool:
    return file.is_file() and "final" in json.loads(file.read_text(encoding="utf-8"))

"""Seconds for 50,000 images: ours, the usual pipeline and a bare loop, one epoch of each in turn, several times."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from typing import Any, Self

from benchmarks import machine
from benchmarks.gate import Epoch, Setting

IMAGES = 50_000
COMPILED = "ours, compiled"
CALM = 0.1  # cores that others may use during an epoch
TRIES = 4
Figures = dict[str, Any]
SCRIPTS = Path(__file__).parents[1]


class Runner:
    """A pipeline in a process of its own, which trains one epoch on request."""

    def __init__(self, name: str, setting: Setting) -> None:
        self._name, self._setting = name, setting

    def __enter__(self) -> Self:
        self._directory = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.pipeline", self._name, json.dumps(asdict(self._setting))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=self._directory.name,
            env={**os.environ, "PYTHONPATH": str(SCRIPTS)},
            text=True,
        )
        self._answer()  # ready
        self._epoch()  # warms up
        return self

    def epoch(self) -> Epoch:
        """Train one epoch, and repeat it if other processes used the machine; return the least disturbed one."""
        epochs = [self._epoch()]
        while epochs[-1].others > CALM and len(epochs) < TRIES:
            epochs.append(self._epoch())
        return min(epochs, key=lambda epoch: epoch.others)

    def _epoch(self) -> Epoch:
        assert self._process.stdin is not None
        others = machine.Others(self._process.pid)
        print(file=self._process.stdin, flush=True)
        epoch = Epoch(**self._answer())
        return replace(epoch, others=round(others.cores(), 3))

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the pipeline '{self._name}' ended with status {self._process.wait()}")
        return json.loads(line)

    def __exit__(self, *exception: object) -> None:
        self._process.kill()
        self._process.wait()
        self._directory.cleanup()


def measure(models: Sequence[str], setting: Setting, rounds: int, workers: Sequence[int]) -> dict[str, Figures]:
    """Return the figures of each model; of the usual pipeline, with whichever number of workers is fastest."""
    return {model: _measure_one(replace(setting, model=model), rounds, workers) for model in models}


def _measure_one(setting: Setting, rounds: int, workers: Sequence[int]) -> Figures:
    load_before = machine.load()
    plain = replace(setting, compile=None)
    chosen = {
        "ours": ("ours", plain),
        "bare": ("bare", plain),
        **({COMPILED: ("ours", setting)} if setting.compile else {}),
        **{f"usual, {count} workers": ("usual", replace(plain, workers=count)) for count in workers},
    }
    epochs = interleaved(chosen, rounds)
    return _figures(epochs) | {"load_average": [load_before, machine.load()], "images_timed": setting.images}


def interleaved(chosen: Mapping[str, tuple[str, Setting]], rounds: int) -> dict[str, list[Epoch]]:
    """Return an epoch of each chosen pipeline in turn, several times over; another one begins each round."""
    epochs: dict[str, list[Epoch]] = {name: [] for name in chosen}
    with ExitStack() as stack:
        runners = {name: stack.enter_context(Runner(*what)) for name, what in chosen.items()}
        for number in range(rounds):
            names = list(runners)
            for name in names[number % len(names) :] + names[: number % len(names)]:
                epochs[name].append(runners[name].epoch())
                print(f"{chosen[name][1].model} {number + 1}/{rounds} {name}: {epochs[name][-1]}", file=sys.stderr)
    return epochs


def _figures(epochs: dict[str, list[Epoch]]) -> Figures:
    seconds = {name: [scaled(one.train_seconds, one) for one in each] for name, each in epochs.items()}
    usual = min((name for name in seconds if name.startswith("usual")), key=lambda name: median(seconds[name]))
    return {
        "seconds": {name: spread(values) for name, values in seconds.items()},
        "ours_all_in": spread([scaled(one.all_seconds, one) for one in epochs["ours"]]),
        "others": {name: [one.others for one in each] for name, each in epochs.items()},
        "usual_chosen": usual,
        "usual_over_ours": ratio(seconds[usual], seconds["ours"]),
        "ours_over_bare": ratio(seconds["ours"], seconds["bare"]),
        **({"ours_over_compiled": ratio(seconds["ours"], seconds[COMPILED])} if COMPILED in seconds else {}),
    }


def scaled(seconds: float, epoch: Epoch) -> float:
    """Return seconds for 50,000 images."""
    return seconds * IMAGES / epoch.images


def ratio(above: Sequence[float], below: Sequence[float]) -> dict[str, Any]:
    """Return the ratio round by round, so that what slows a whole round down cancels."""
    return spread([a / b for a, b in zip(above, below, strict=True)])


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Median, least and largest, and all that was measured."""
    rounded = [round(value, 4) for value in values]
    return {"median": round(median(values), 4), "min": min(rounded), "max": max(rounded), "all": rounded}

"""Sweeps of trainings that only pretend, in this process and in others."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import pytest

from tests.sweep import stand_in

REPO = Path(__file__).parents[2]
SPACE = (
    "model=model50k",
    "data=synthetic",
    "budget.params=50000",
    "model.layers.conv1.channels=choice(16,32,64)",
    "model.layers.conv7.channels=range(16,129,step=8)",
)


def sweep_arguments(directory: Path | str, n_trials: int, *more: str) -> list[str]:
    """`train -m …` over a small space."""
    return [
        "train",
        "-m",
        "hydra/sweeper=budgeted",
        f"hydra.sweep.dir={directory}",
        f"hydra.sweeper.n_trials={n_trials}",
        "hydra.sweeper.grace_period=2",
        *SPACE,
        *more,
    ]


def table(directory: Path) -> list[dict[str, str]]:
    """The rows of trials.csv."""
    with (directory / "trials.csv").open() as file:
        return list(csv.DictReader(file))


def numbers(directory: Path) -> list[int]:
    """The trials in trials.csv."""
    return [int(row["number"]) for row in table(directory)]


def study_in(directory: Path, name: str = "sweep") -> optuna.Study:
    """The study in a sweep's directory."""
    return optuna.load_study(study_name=name, storage=f"sqlite:///{directory / 'study.db'}")


def starts(log: Path) -> list[tuple[int, int, int]]:
    """(trial, first epoch, process) of each start of a training."""
    return [tuple(map(int, line.split())) for line in log.read_text().splitlines()] if log.exists() else []  # type: ignore[misc]


def run_pretended(directory: Path, *arguments: str, misfortunes: dict[int, str] | None = None) -> int:
    """Run `cifar-exp ARGUMENTS…` in this process and in `directory`; its trainings pretend."""
    import cifar_exp.cli.commands.train as train
    from cifar_exp.cli import run

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        patch.setattr(train, "main", stand_in.main)
        patch.setenv(stand_in.LOG, str(directory / "starts.log"))
        patch.setenv(stand_in.MISFORTUNES, json.dumps(misfortunes or {}))
        return run(list(arguments))


@pytest.fixture
def pretend(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., int]:
    """`run_pretended` in the test's directory."""
    return partial(run_pretended, tmp_path)


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `cifar-exp ARGUMENTS…` in a process of its own; its trainings pretend."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, seconds: float = 0.0, misfortunes: dict[int, str] | None = None, **env: Any) -> Any:
        variables = {
            "PYTHONPATH": f"{REPO / 'tests' / 'sweep' / 'site'}{os.pathsep}{REPO}",
            stand_in.SECONDS: str(seconds),
            stand_in.LOG: str(tmp_path / "starts.log"),
            stand_in.HOLD: str(tmp_path / "hold"),
            stand_in.MISFORTUNES: json.dumps(misfortunes or {}),
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "cifar_exp", *arguments],
            cwd=tmp_path,
            env={**os.environ, **variables, **env},
            stderr=subprocess.PIPE,
            text=True,
            # A shell's background jobs ignore Ctrl-C, and so would their children.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate()


def wait_until(condition: Callable[[], bool], seconds: float = 180.0) -> None:
    """Waits for `condition`; fails where it does not come about. On a busy machine all takes ten times as long."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not come about"
        time.sleep(0.05)

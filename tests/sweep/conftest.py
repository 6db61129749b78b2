"""Sweeps of trainings that only pretend, in this process and in others."""

import csv
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import optuna
import pytest

from tests.sweep import stand_in

# Forks of a process that has imported all that a sweep needs: to import it again would take most of a test's time.
START = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
FORKS: Any = multiprocessing.get_context(START)
FORKS.set_forkserver_preload(
    [
        "tests.sweep.stand_in",
        "cifar_exp.cli.app",
        "cifar_exp.sweep.adapter",
        "alembic.command",
        "sqlalchemy.orm",
        "sqlalchemy.dialects.postgresql",
        "sqlalchemy.dialects.sqlite",
        "matplotlib.backends.backend_agg",
    ]
)
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


def run_pretended(
    directory: Path, *arguments: str, misfortunes: dict[int, str] | None = None, draws: bool = False
) -> int:
    """Run `cifar-exp ARGUMENTS…` in this process and in `directory`; its trainings pretend.

    The sweep's plot, which takes as long as a trial, is left out unless `draws` is set.
    """
    from cifar_exp.cli import run
    from cifar_exp.sweep.output import outputs

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        stand_in.replace_training(patch.setattr)
        if not draws:
            patch.setattr(outputs, "plot_sweep", lambda *_: None)
        for name, value in stand_in.variables(directory, misfortunes=misfortunes).items():
            patch.setenv(name, value)
        return run(list(arguments))


@pytest.fixture
def pretend(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., int]:
    """`run_pretended` in the test's directory."""
    return partial(run_pretended, tmp_path)


class Started:
    """A process of `cifar-exp ARGUMENTS…`, as `subprocess.Popen` presents one."""

    def __init__(self, directory: Path, arguments: tuple[str, ...], variables: dict[str, str]) -> None:
        self._errors = directory / f"stderr-{uuid4().hex}"
        self._process = FORKS.Process(target=_run_in_child, args=(directory, self._errors, arguments, variables))
        self._process.start()

    @property
    def returncode(self) -> int | None:
        """The exit status, None while the process runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """Return the exit status, None while the process runs."""
        return self._process.exitcode

    def wait(self, timeout: float = 180) -> int | None:
        """Wait for the end; return the exit status."""
        self._process.join(timeout)
        return self._process.exitcode

    def communicate(self, timeout: float = 180) -> tuple[str, str]:
        """Wait for the end; return what was printed on stdout, which is not kept, and on stderr."""
        self.wait(timeout)
        return "", self._errors.read_text() if self._errors.exists() else ""

    def send_signal(self, number: int) -> None:
        """Send a signal."""
        assert self._process.pid is not None
        os.kill(self._process.pid, number)


def _run_in_child(directory: Path, errors: Path, arguments: tuple[str, ...], variables: dict[str, str]) -> None:
    from cifar_exp.cli.entry import main

    os.chdir(directory)
    os.environ.update(variables)
    os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
    sys.stderr = os.fdopen(2, "w", buffering=1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    stand_in.install()
    sys.argv[1:] = arguments
    main()


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Callable[..., Started]]:
    """Starts `cifar-exp ARGUMENTS…` in a process of its own; its trainings pretend."""
    started: list[Started] = []

    def start(*arguments: str, seconds: float = 0.0, misfortunes: dict[int, str] | None = None) -> Started:
        process = Started(tmp_path, arguments, stand_in.variables(tmp_path, seconds, misfortunes))
        started.append(process)
        return process

    yield start
    kill(started)


def kill(started: Iterable[Started]) -> None:
    """End the processes that still run, and wait for all of them."""
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


@pytest.fixture(scope="module")
def make() -> Iterator[Callable[..., Any]]:
    """Proposers of the spaces that overrides describe."""
    from hydra import compose, initialize_config_dir

    from cifar_exp.config.location import conf_dir
    from cifar_exp.config.overrides import parse_overrides
    from cifar_exp.sweep.search.pricing import PlanPricer
    from cifar_exp.sweep.search.proposals import Proposer
    from cifar_exp.sweep.search.space import build_space
    from tests.sweep.proposing import settings

    with initialize_config_dir(str(conf_dir()), version_base="1.3"):

        def made(*overrides: str, sampler: str = "tpe", **more: Any) -> Any:
            space = build_space(parse_overrides(overrides))
            pricer = PlanPricer(space, lambda given: compose("train", overrides=given), ("model", "data"))
            return Proposer(space, pricer, settings(sampler, **more)), pricer, space

        yield made

"""Workers on each of the launchers' engines: they start once, are replaced when lost, and end with their driver."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.sweep import stand_in
from tests.sweep.conftest import kill, numbers, starts, sweep_arguments, table, wait_until

Workers = Callable[..., "subprocess.Popen[str]"]

REPO = Path(__file__).parents[2]
SLURM, REQUIRE_SLURM = "SLURM_CONF", "CIFAR_EXP_REQUIRE_SLURM"  # scripts/with_slurm sets the first
PLUGINS = {"joblib": "joblib", "submitit_slurm": "submitit", "ray": "ray"}


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    """Starts `cifar-exp ARGUMENTS…` as a command, whose environment the launchers hand on to their workers."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> "subprocess.Popen[str]":
        site = {"PYTHONPATH": f"{REPO / 'tests' / 'sweep' / 'site'}{os.pathsep}{REPO}"}
        process = subprocess.Popen(
            [sys.executable, "-m", "cifar_exp", *arguments],
            cwd=tmp_path,
            env={**os.environ, **site, **stand_in.variables(tmp_path)},
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    kill(started)


def require(engine: str) -> None:
    """Skip the test where the engine is missing; fail where it must not be."""
    plugin = f"hydra_plugins.hydra_{PLUGINS[engine]}_launcher"
    if importlib.util.find_spec(plugin) is None:
        pytest.skip(f"{plugin} is not installed")
    if engine == "submitit_slurm" and (SLURM not in os.environ or shutil.which("sbatch") is None):
        if os.environ.get(REQUIRE_SLURM):
            pytest.fail(f"{REQUIRE_SLURM} is set, but there is no Slurm; scripts/with_slurm starts one")
        pytest.skip("no Slurm; scripts/with_slurm starts one")


def arguments(tmp_path: Path, engine: str, n_trials: int, *more: str) -> list[str]:
    """A sweep of two workers on an engine."""
    launcher = (f"hydra/launcher={engine}", "hydra.sweeper.n_jobs=2", "trainer.max_epochs=4")
    return sweep_arguments(tmp_path / "sweep", n_trials, *launcher, *more)


def processes(tmp_path: Path) -> list[int]:
    """The workers in the order of their first trial."""
    return list(dict.fromkeys(process for *_, process in starts(tmp_path / "starts.log")))


def both_hold(tmp_path: Path) -> bool:
    """Whether two workers have each trained the first epoch of a trial."""
    checkpoints = [tmp_path / "sweep" / str(trial) / "checkpoints" / "last.ckpt" for trial in range(2)]
    return len(processes(tmp_path)) == 2 and all(path.is_file() for path in checkpoints)


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def ends_well(process: "subprocess.Popen[str]") -> str:
    _, reported = process.communicate(timeout=240)
    assert process.returncode == 0, reported
    assert "Traceback" not in reported
    return reported


def assert_each_trial_once(tmp_path: Path, n_trials: int, interrupted: int = 0) -> None:
    """Each trial is complete and was begun once; the first ones, which were interrupted, continued."""
    assert numbers(tmp_path / "sweep") == list(range(n_trials))
    assert {row["state"] for row in table(tmp_path / "sweep")} == {"complete"}
    epochs: dict[int, list[int]] = {number: [] for number in range(n_trials)}
    for trial, epoch, _ in starts(tmp_path / "starts.log"):
        epochs[trial].append(epoch)
    assert all(first == 0 and all(later) for first, *later in epochs.values()), epochs
    assert all(len(epochs[trial]) == 1 for trial in range(interrupted, n_trials)), epochs


def slurm(*command: str) -> str:
    """What a command of Slurm prints."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def jobs(tmp_path: Path) -> list[str]:
    """The sweep's jobs that Slurm has, first the one submitted first."""
    lines = slurm("squeue", "--noheader", "--sort=i", "--format=%i|%Z").splitlines()
    return [job for job, directory in (line.split("|") for line in lines) if directory == str(tmp_path)]


@pytest.mark.parametrize("engine", ["joblib", "submitit_slurm", "ray"])
def test_workers_and_drivers_may_be_killed(engine: str, workers: Workers, tmp_path: Path) -> None:
    require(engine)
    hold = tmp_path / "hold"
    hold.touch()
    driver = workers(*arguments(tmp_path, engine, 4))
    wait_until(lambda: both_hold(tmp_path))
    os.kill(processes(tmp_path)[0], signal.SIGKILL)
    wait_until(lambda: len(processes(tmp_path)) >= 3)  # another takes its place
    driver.kill()
    wait_until(lambda: not any(is_alive(process) for process in processes(tmp_path)))
    hold.unlink()
    before = len(processes(tmp_path))
    ends_well(workers(*arguments(tmp_path, engine, 6)))
    assert_each_trial_once(tmp_path, 6, interrupted=2)
    assert len(processes(tmp_path)) <= before + 2  # a process starts for each worker, not for each trial


def test_a_cancelled_job_is_replaced_and_one_whose_time_is_up_gives_its_trial_up(
    workers: Workers, tmp_path: Path
) -> None:
    require("submitit_slurm")
    hold = tmp_path / "hold"
    hold.touch()
    driver = workers(*arguments(tmp_path, "submitit_slurm", 4))
    wait_until(lambda: both_hold(tmp_path))
    cancelled, requeued = jobs(tmp_path)
    slurm("scancel", cancelled)
    wait_until(lambda: len(processes(tmp_path)) == 3)
    slurm("scancel", "--signal=USR2", requeued)
    wait_until(lambda: slurm("squeue", "--noheader", f"--job={requeued}", "--format=%T").strip() == "PENDING")
    hold.unlink()
    reported = ends_well(driver)
    assert_each_trial_once(tmp_path, 4, interrupted=2)
    assert reported.count("A worker was lost") == 1
    assert "WARNING" not in reported
    assert "accounting" not in reported
    wait_until(lambda: jobs(tmp_path) == [])  # the requeued one, which still waits, is not left behind

"""Several workers and sudden death: nothing is lost, repeated or counted twice."""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest

from tests.sweep.conftest import Started, numbers, starts, study_in, sweep_arguments, table, wait_until

Workers = Callable[..., Started]

POSTGRES = "CIFAR_EXP_POSTGRES"  # the URL of an empty database; scripts/with_postgres starts one


def ends_well(process: Started) -> None:
    _, told = process.communicate(timeout=300)
    assert process.returncode == 0, told


def kill(process: Started) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.fixture(params=["sqlite", "postgres"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty storage that several processes share."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'shared.db'}"
    if POSTGRES not in os.environ:
        pytest.skip(f"{POSTGRES} is not set; scripts/with_postgres sets it")
    return os.environ[POSTGRES]


def shared(storage: str, tmp_path: Path, worker: str, n_trials: int) -> list[str]:
    """A worker's arguments: its own directory, the common study."""
    more = (f"hydra.sweeper.storage='{storage}'", f"hydra.sweeper.study_name={tmp_path.name}", "trainer.max_epochs=4")
    return sweep_arguments(tmp_path / worker, n_trials, *more)


def load(storage: str, tmp_path: Path) -> optuna.Study:
    return optuna.load_study(study_name=tmp_path.name, storage=storage)


def test_after_a_kill_the_same_command_continues(workers: Workers, tmp_path: Path) -> None:
    arguments, log = sweep_arguments(tmp_path / "sweep", 3, "trainer.max_epochs=4"), tmp_path / "starts.log"
    process = workers(*arguments, seconds=0.3)
    checkpoint = tmp_path / "sweep" / "1" / "checkpoints" / "last.ckpt"
    wait_until(lambda: checkpoint.is_file() and checkpoint.read_text() in ("1", "2", "3"))
    kill(process)
    ends_well(workers(*arguments))
    assert numbers(tmp_path / "sweep") == [0, 1, 2]
    started = [(trial, epoch) for trial, epoch, _ in starts(log)]
    assert started[:2] == [(0, 0), (1, 0)]
    assert started[2][0] == 1
    assert started[2][1] >= 1  # from its last checkpoint
    assert started[3:] == [(2, 0)]
    assert len(study_in(tmp_path / "sweep").trials) == 3


def test_a_kill_before_the_first_checkpoint_repeats_the_trial_under_its_number(
    workers: Workers, tmp_path: Path
) -> None:
    arguments, log = sweep_arguments(tmp_path / "sweep", 2, "trainer.max_epochs=2"), tmp_path / "starts.log"
    process = workers(*arguments, seconds=30)
    wait_until(lambda: len(starts(log)) == 1)
    kill(process)
    ends_well(workers(*arguments))
    assert [(trial, epoch) for trial, epoch, _ in starts(log)] == [(0, 0), (0, 0), (1, 0)]
    assert numbers(tmp_path / "sweep") == [0, 1]


def test_a_trial_that_ended_as_its_worker_died_is_recorded_and_not_run_again(workers: Workers, tmp_path: Path) -> None:
    arguments, log = sweep_arguments(tmp_path / "sweep", 3), tmp_path / "starts.log"
    process = workers(*arguments, misfortunes={1: "dies before it is told"})
    process.communicate(timeout=180)
    assert process.returncode == 9
    ends_well(workers(*arguments))
    assert [trial for trial, *_ in starts(log)] == [0, 1, 2]
    assert [row["state"] for row in table(tmp_path / "sweep")] == ["complete"] * 3


def test_ctrl_c_leaves_a_sweep_that_continues(workers: Workers, tmp_path: Path) -> None:
    arguments, log = sweep_arguments(tmp_path / "sweep", 2, "trainer.max_epochs=3"), tmp_path / "starts.log"
    hold = tmp_path / "hold"
    hold.touch()
    process = workers(*arguments)
    wait_until(lambda: (tmp_path / "sweep" / "0" / "checkpoints" / "last.ckpt").is_file())
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=180)
    hold.unlink()
    assert process.returncode == 130
    assert told.splitlines()[-1].endswith(f"the same command with hydra.sweep.dir={tmp_path / 'sweep'}")
    assert "Traceback" not in told
    ends_well(workers(*arguments))
    assert [(trial, epoch) for trial, epoch, _ in starts(log)] == [(0, 0), (0, 1), (1, 0)]


def test_kills_at_any_moment_lose_nothing(workers: Workers, tmp_path: Path) -> None:
    arguments, log = sweep_arguments(tmp_path / "sweep", 4, "trainer.max_epochs=2"), tmp_path / "starts.log"
    finished: dict[int, int] = {}  # trial → starts until it was known to have finished
    for delay in (0.1, 0.7):
        before = len(starts(log))
        process = workers(*arguments, seconds=0.15)
        wait_until(lambda: len(starts(log)) > before or process.poll() is not None)  # noqa: B023
        time.sleep(delay)
        if process.poll() is None:
            kill(process)
        for run in (tmp_path / "sweep").glob("*/result.json"):
            finished.setdefault(int(run.parent.name), len(starts(log)))
    ends_well(workers(*arguments))
    study = study_in(tmp_path / "sweep")
    assert [trial.number for trial in study.trials] == list(range(4))
    assert all(trial.state == optuna.trial.TrialState.COMPLETE for trial in study.trials)
    assert numbers(tmp_path / "sweep") == list(range(4))
    assert finished
    assert not [trial for trial, count in finished.items() if trial in {number for number, *_ in starts(log)[count:]}]


def side_by_side(workers: Workers, tmp_path: Path, *commands: list[str]) -> None:
    """Run commands to their ends; none gets further than its first epoch before each has started a trial."""
    hold = tmp_path / "hold"
    hold.touch()
    processes = [workers(*arguments) for arguments in commands]
    wait_until(lambda: len({process for *_, process in starts(tmp_path / "starts.log")}) == len(commands))
    hold.unlink()
    for process in processes:
        ends_well(process)


def test_two_processes_share_one_study(storage: str, workers: Workers, tmp_path: Path) -> None:
    side_by_side(workers, tmp_path, *(shared(storage, tmp_path, name, 4) for name in ("one", "two")))
    assert [trial.state.name for trial in load(storage, tmp_path).trials[:4]] == ["COMPLETE"] * 4
    assert sorted(trial for trial, *_ in starts(tmp_path / "starts.log")) == list(range(4))
    for name in ("one", "two"):
        assert numbers(tmp_path / name) == list(range(4))
        assert (tmp_path / name / "best" / "model" / "best.yaml").is_file()


def test_two_processes_may_share_a_directory_too(workers: Workers, tmp_path: Path) -> None:
    arguments = sweep_arguments(tmp_path / "sweep", 4, "trainer.max_epochs=2")
    side_by_side(workers, tmp_path, arguments, arguments)
    assert sorted(trial for trial, *_ in starts(tmp_path / "starts.log")) == list(range(4))
    assert len({(row["params"], row["model.layers.conv7.channels"]) for row in table(tmp_path / "sweep")}) == 4


def test_the_trial_of_a_killed_worker_is_taken_over_by_a_living_one(
    storage: str, workers: Workers, tmp_path: Path
) -> None:
    hold = tmp_path / "hold"  # nobody gets further than the first epoch
    hold.touch()
    doomed = workers(*shared(storage, tmp_path, "doomed", 3))
    wait_until(lambda: (tmp_path / "doomed" / "0" / "checkpoints" / "last.ckpt").is_file())
    living = workers(*shared(storage, tmp_path, "living", 3))
    wait_until(lambda: len(starts(tmp_path / "starts.log")) == 2)
    kill(doomed)
    hold.unlink()
    ends_well(living)
    assert [trial.state.name for trial in load(storage, tmp_path).trials[:3]] == ["COMPLETE"] * 3
    log = starts(tmp_path / "starts.log")
    assert Counter(trial for trial, *_ in log) == {0: 2, 1: 1, 2: 1}
    assert [epoch for trial, epoch, _ in log if trial == 0][1] >= 1  # where the dead one had left it
    assert numbers(tmp_path / "living") == [0, 1, 2]

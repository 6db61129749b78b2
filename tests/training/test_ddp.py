"""Two processes on the CPU (gloo), as a user starts them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.training.tiny import TINY, figures, metrics, result

TWO = ("trainer.devices=2", "trainer.strategy=ddp")
LEARNING = (
    "data.train_size=1000",
    "data.test_size=200",
    "trainer.max_epochs=3",
    "optimizer.lr=0.01",
    "model.head.hidden=[32]",
    "callbacks.ema.decay=0.9",
    "augment.mixup=0.1",
    "model.layer.dropout=0.1",
    "logger.mode=offline",
)
STARTS = {
    "console script": [str(Path(sys.executable).with_name("cifar-exp"))],
    "python -m": [sys.executable, "-m", "cifar_exp"],
}


def environment() -> dict[str, str]:
    """This process's, without what a distributed run may have left in it."""
    ranks = ("LOCAL_RANK", "RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    return {name: value for name, value in os.environ.items() if name not in ranks} | {"OMP_NUM_THREADS": "1"}


def train(start: list[str], run: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    return ended([*start, "train", *TINY, *overrides, f"hydra.run.dir={run}"])


def ended(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment(), check=False)


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two processes."""
    run = tmp_path_factory.mktemp("together") / "two"
    ended_run = train(STARTS["python -m"], run, *LEARNING, *TWO)
    assert ended_run.returncode == 0, ended_run.stderr
    assert ended_run.stdout.count("test accuracy") == 1
    assert "Traceback" not in ended_run.stderr
    return run


def test_two_processes_make_one_run_that_learns_as_one_process_does(
    together: Path, cifar_exp: Run, tmp_path: Path
) -> None:
    found = result(together)
    assert (found["status"], found["epochs"]) == ("finished", 3)
    assert [row["epoch"] for row in metrics(together)] == ["0", "1", "2"]
    seen = {round(float(row["images_per_second"]) * float(row["seconds"])) for row in metrics(together)}
    assert seen == {900}  # each image once per epoch, over both
    assert [path.name for path in together.parent.rglob("*.log")].count("train.log") == 1
    assert not list(together.parent.rglob("train_ddp_process*"))
    assert len(list((together / "wandb").glob("offline-run-*"))) == 1
    assert cifar_exp("train", *TINY, *LEARNING, f"hydra.run.dir={tmp_path / 'one'}") == 0
    assert found["val/acc"] == pytest.approx(result(tmp_path / "one")["val/acc"], abs=0.25)


@contextmanager
def started(run: Path, *overrides: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The first process of a run, and the number of the other, once there is a checkpoint."""
    command = [*STARTS["python -m"], "train", *TINY, *overrides, *TWO, f"hydra.run.dir={run}"]
    first = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=environment())
    try:
        wait_for(lambda: (run / "checkpoints" / "last.ckpt").is_file() or first.poll() is not None)
        (other,) = children(first.pid)
        yield first, other
    finally:
        first.kill()
        first.wait()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc")
def test_when_the_other_process_is_killed_the_first_ends(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with started(run, "trainer.max_epochs=100000") as (first, other):
        os.kill(other, signal.SIGKILL)
        wait_for(lambda: first.poll() is not None and not is_running(other))
    if (run / "result.json").is_file():  # its peer may have been killed too
        assert result(run)["status"] == "failed"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc")
def test_when_the_first_process_is_killed_the_other_ends_and_the_run_continues_as_if_it_had_not_been(
    together: Path, tmp_path: Path
) -> None:
    killed = tmp_path / "killed"
    with started(killed, *LEARNING) as (first, other):
        first.kill()
        first.wait()
        wait_for(lambda: not is_running(other))
    assert not (killed / "result.json").exists()
    resumed = ended([*STARTS["python -m"], "train", f"resume={killed}"])
    assert resumed.returncode == 0, resumed.stderr
    assert figures(killed) == figures(together)


@pytest.mark.skipif(not Path(STARTS["console script"][0]).is_file(), reason="the package is not installed")
def test_ctrl_c_ends_both_and_the_message_has_the_command_that_continues(tmp_path: Path) -> None:
    run = tmp_path / "run"
    overrides = (*TINY, *TWO, "trainer.max_epochs=100000", f"hydra.run.dir={run}")
    process = subprocess.Popen(
        [*STARTS["console script"], "train", *overrides],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env=environment(),
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    wait_for(lambda: (run / "checkpoints" / "last.ckpt").is_file() or process.poll() is not None)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, said = process.communicate(timeout=180)
    assert process.returncode == 130
    assert said.count(f"Continue it with: cifar-exp train resume={run}") == 1
    assert result(run)["status"] == "interrupted"


def wait_for(condition: Callable[[], bool], seconds: float = 180.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def children(pid: int) -> list[int]:
    """The processes that run the command for process `pid`."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(status.read_text().rsplit(")", 1)[1].split()[1])
            commands = (status.parent / "cmdline").read_text()
        except OSError:
            continue
        if parent == pid and "hydra.output_subdir=null" in commands:
            found.append(int(status.parent.name))
    return found


def is_running(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False

"""A storm of kills: the processes of one study die at random moments until a number of kills is reached.

Several calls of one command share a directory and a study; each proposes, trains, and writes the sweep's files. They
are forks of a process that has imported everything, so that kills hit the sweep rather than Python's start.
"""

import os
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.sweeps.pretended import LOG, SECONDS, SPACE, install, log

EPOCHS, EPOCH_SECONDS = 6, 0.5
PROCESSES = 3
PAUSE = 0.8  # between two kills at most, as a multiple of the time that a process needs to its first training


def measure(kills: int, trials: int) -> dict[str, Any]:
    """Kill processes, let a last one complete each study, and count what was lost or doubled.

    Args:
        kills: how many.
        trials: of a study; where they have all ended before the last kill, another study begins.
    """
    install()
    random, counts = Random(0), Counter[str]()
    _import_everything()
    while counts["kills"] < kills:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
            counts += _storm(Path(directory), kills - counts["kills"], trials, random)
    names = ("kills", "studies", "trials", "interrupted", "lost", "doubled", "repeated_epochs")
    return {name: counts[name] for name in names}


def _arguments(directory: Path, trials: int) -> list[str]:
    sweep = (f"hydra.sweep.dir={directory / 'sweep'}", f"hydra.sweeper.n_trials={trials}", "hydra/sweeper=budgeted")
    return ["train", "-m", *sweep, *SPACE, f"trainer.max_epochs={EPOCHS}", "hydra/sweeper/sampler=random"]


def _import_everything() -> None:
    """Run a sweep of one trial, in this process."""
    with tempfile.TemporaryDirectory() as directory:
        status = _run(Path(directory), 1)
    if status:
        raise RuntimeError("the sweep does not run")


def _run(directory: Path, trials: int) -> int:
    from cifar_exp.cli import run

    os.environ |= {LOG: str(directory / "log.jsonl"), SECONDS: str(EPOCH_SECONDS)}
    return run(_arguments(directory, trials))


def _fork(directory: Path, trials: int) -> int:
    process = os.fork()
    if process == 0:
        with open(directory / "stderr", "a", encoding="utf-8") as errors:
            os.dup2(errors.fileno(), 2)
        os._exit(_run(directory, trials))
    return process


def _storm(directory: Path, kills: int, trials: int, random: Random) -> Counter[str]:
    running = [_fork(directory, trials) for _ in range(PROCESSES)]
    pause = PAUSE * _seconds_to_begin(directory)
    finished: dict[int, int] = {}  # trial → how many trainings had begun when its end was known
    counts = Counter(studies=1)
    while counts["kills"] < kills:
        time.sleep(random.uniform(0, pause))
        place = random.randrange(PROCESSES)
        if os.waitpid(running[place], os.WNOHANG)[0]:
            break  # it has ended by itself: the study is complete
        os.kill(running[place], signal.SIGKILL)
        os.waitpid(running[place], 0)
        counts["kills"] += 1
        for number in _done(directory):
            finished.setdefault(number, len(log(directory)))
        print(f"storm: {counts['kills']} kills, {len(finished)} of {trials} trials", file=sys.stderr, flush=True)
        running[place] = _fork(directory, trials)
    for process in (*running, _fork(directory, trials)):
        _wait(process, directory)
    return counts + _verdict(directory, trials, finished)


def _wait(process: int, directory: Path) -> None:
    try:
        status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    except ChildProcessError:  # waited for already
        return
    if status:
        raise RuntimeError((directory / "stderr").read_text(encoding="utf-8"))


def _seconds_to_begin(directory: Path) -> float:
    began = time.monotonic()
    while not log(directory):
        time.sleep(0.1)
    return time.monotonic() - began


def _done(directory: Path) -> list[int]:
    return [int(file.parent.name) for file in (directory / "sweep").glob("[0-9]*/result.json")]


def _verdict(directory: Path, trials: int, finished: dict[int, int]) -> Counter[str]:
    """What became of the trials.

    A trial is lost if it is not complete, and doubled if it was trained again after it had finished or if the study
    has more trials than asked for; its epochs were repeated if it did not continue from its last checkpoint.
    """
    import optuna

    study = optuna.load_study(study_name="sweep", storage=f"sqlite:///{directory / 'sweep' / 'study.db'}")
    complete = [one for one in study.trials if one.state == optuna.trial.TrialState.COMPLETE]
    trainings = log(directory)
    again = {number for number, begun in finished.items() if number in {one.trial for one in trainings[begun:]}}
    epochs: dict[int, list[int]] = {}
    for one in trainings:
        epochs.setdefault(one.trial, []).append(one.first_epoch)
    return Counter(
        trials=trials,
        interrupted=sum(len(firsts) > 1 for firsts in epochs.values()),
        lost=trials - len(complete),
        doubled=len(again) + max(0, len(study.trials) - trials),
        repeated_epochs=sum(firsts != sorted(firsts) for firsts in epochs.values()),
    )

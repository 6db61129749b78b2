"""A storm of kills: the processes of one study die at random moments until a number of kills is reached.

There are two kinds of storm. In one, several calls of the same command share a directory and a study, and each is
driver and worker in one. In the other, one driver has two workers of joblib, and drivers and workers are killed in
turns. All are forks of a process that has imported everything, so that kills hit the sweep rather than Python's start.
"""

import os
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.sweeps.pretended import LOG, SECONDS, SPACE, install, log, python_path

EPOCHS, EPOCH_SECONDS = 6, 0.5
PROCESSES, WORKERS = 3, 2  # calls of the command; workers of joblib
PAUSE = 0.8  # between two kills at most, as a multiple of the time that a process needs to its first training
LONGEST_PAUSE = 12.0  # seconds
GRACE_SECONDS = 4
COUNTS = ("kills", "drivers", "workers", "studies", "trials", "interrupted", "lost", "doubled", "repeated_epochs")


def measure(kind: str, kills: int, trials: int) -> dict[str, Any]:
    """Kill processes, let a last one complete each study, and count what was lost or doubled.

    Args:
        kind: of storm, `commands` or `joblib`.
        kills: how many.
        trials: of a study; where they have all ended before the last kill, another study begins.
    """
    install()
    os.environ["PYTHONPATH"] = python_path()  # joblib's workers only sleep too
    random, counts = Random(0), Counter[str]()
    _import_everything()
    storm = {"commands": _storm_of_commands, "joblib": _storm_of_joblib}[kind]
    while counts["kills"] < kills:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
            study = Study(Path(directory), trials, kills - counts["kills"], random, counts["kills"])
            storm(study)
            counts += study.verdict()
    return {name: counts[name] for name in COUNTS}


def _import_everything() -> None:
    """Run a sweep of one trial, in this process."""
    with tempfile.TemporaryDirectory() as directory:
        if Study(Path(directory), 1, 0, Random(0)).run():
            raise RuntimeError("the sweep does not run")


@dataclass
class Study:
    """A study in a directory of its own, and the kills that its processes have met."""

    directory: Path
    trials: int
    kills: int  # wanted
    random: Random
    before: int = 0  # kills of earlier studies
    counts: Counter[str] = field(default_factory=lambda: Counter(studies=1))
    finished: dict[int, int] = field(default_factory=dict)  # trial → trainings begun when its end was known

    @property
    def goes_on(self) -> bool:
        """Whether more kills are wanted."""
        return self.counts["kills"] < self.kills

    def run(self, *more: str) -> int:
        """Run the sweep in this process; return its exit status."""
        from cifar_exp.cli import run

        os.environ |= {LOG: str(self.directory / "log.jsonl"), SECONDS: str(EPOCH_SECONDS)}
        sweep = (f"hydra.sweep.dir={self.directory / 'sweep'}", f"hydra.sweeper.n_trials={self.trials}")
        common = ("hydra/sweeper=budgeted", "hydra/sweeper/sampler=random", f"trainer.max_epochs={EPOCHS}")
        return run(["train", "-m", *sweep, *common, f"hydra.sweeper.grace_period={GRACE_SECONDS}", *SPACE, *more])

    def fork(self, *more: str) -> int:
        """Run the sweep in a process of its own; return its id."""
        process = os.fork()
        if process == 0:
            with open(self.directory / "stderr", "a", encoding="utf-8") as errors:
                os.dup2(errors.fileno(), 2)
            os._exit(self.run(*more))
        return process

    def has_ended(self, process: int, wait: bool = False) -> bool:
        """Return whether a process has ended by itself. Raises RuntimeError where it failed."""
        try:
            ended, status = os.waitpid(process, 0 if wait else os.WNOHANG)
        except ChildProcessError:  # waited for already
            return True
        if ended and os.waitstatus_to_exitcode(status):
            raise RuntimeError((self.directory / "stderr").read_text(encoding="utf-8"))
        return bool(ended)

    def pause(self, longest: float) -> None:
        """Wait for a random time."""
        time.sleep(self.random.uniform(0, longest))

    def kill(self, process: int, kind: str) -> None:
        """Kill a process, and note which trials had finished by then."""
        os.kill(process, signal.SIGKILL)
        self.counts.update(kills=1, **{kind: 1})
        for file in (self.directory / "sweep").glob("[0-9]*/result.json"):
            self.finished.setdefault(int(file.parent.name), len(log(self.directory)))
        done = f"{self.before + self.counts['kills']} kills, {len(self.finished)} of {self.trials} trials"
        print(f"storm: {done}", file=sys.stderr, flush=True)

    def longest_pause(self) -> float:
        """Wait for the first training, and return the longest time between two kills."""
        began = time.monotonic()
        while not log(self.directory):
            time.sleep(0.1)
        return min(LONGEST_PAUSE, PAUSE * (time.monotonic() - began))

    def verdict(self) -> Counter[str]:
        """Count what became of the trials.

        A trial is lost if it is not complete, and doubled if it was trained again after it had finished or if the
        study has more trials than asked for; its epochs were repeated if it did not continue from its last checkpoint.
        """
        import optuna

        study = optuna.load_study(study_name="sweep", storage=f"sqlite:///{self.directory / 'sweep' / 'study.db'}")
        complete = [one for one in study.trials if one.state == optuna.trial.TrialState.COMPLETE]
        trainings = log(self.directory)
        again = {
            number for number, begun in self.finished.items() if number in {one.trial for one in trainings[begun:]}
        }
        epochs: dict[int, list[int]] = {}
        for one in trainings:
            epochs.setdefault(one.trial, []).append(one.first_epoch)
        return self.counts + Counter(
            trials=self.trials,
            interrupted=sum(len(firsts) > 1 for firsts in epochs.values()),
            lost=self.trials - len(complete),
            doubled=len(again) + max(0, len(study.trials) - self.trials),
            repeated_epochs=sum(firsts != sorted(firsts) for firsts in epochs.values()),
        )


def _storm_of_commands(study: Study) -> None:
    running = [study.fork() for _ in range(PROCESSES)]
    pause = study.longest_pause()
    while study.goes_on:
        study.pause(pause)
        place = study.random.randrange(PROCESSES)
        if study.has_ended(running[place]):
            break  # the study is complete
        study.kill(running[place], "drivers")
        os.waitpid(running[place], 0)
        running[place] = study.fork()
    for process in (*running, study.fork()):
        study.has_ended(process, wait=True)


def _storm_of_joblib(study: Study) -> None:
    """Kill drivers at any moment, also while their workers start, and workers once they train."""

    def start() -> int:
        return study.fork("hydra/launcher=joblib", f"hydra.sweeper.n_jobs={WORKERS}")

    def workers() -> list[int]:
        return sorted(filter(_is_alive, {one.process for one in log(study.directory)}))

    driver = start()
    pause = study.longest_pause()
    while study.goes_on and not study.has_ended(driver):
        of_worker = study.random.random() < 0.5
        while of_worker and not workers() and not study.has_ended(driver):
            time.sleep(0.1)
        study.pause(pause)
        if of_worker and (alive := workers()):
            study.kill(study.random.choice(alive), "workers")
        elif not study.has_ended(driver):
            study.kill(driver, "drivers")
            os.waitpid(driver, 0)
            driver = start()
    study.has_ended(driver, wait=True)
    study.has_ended(start(), wait=True)


def _is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False

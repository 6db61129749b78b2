"""How busy workers are: trials of 1 to 12 epochs, side by side, on joblib; and how many processes Slurm starts."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.sweeps.pretended import Training, finish, gaps, log, start

EPOCH_SECONDS = 2.0
TRIALS_EACH = 6


def measure(workers: Sequence[int]) -> dict[str, Any]:
    """Return the busy fraction and the gaps of each number of workers."""
    return {str(count): _measure_one(count) for count in workers}


def on_slurm(trials: int, workers: int) -> dict[str, Any]:
    """Return how many processes train `trials` tiny trials on `workers` workers that are jobs of a running Slurm."""
    trainings = _trained(trials, workers, "submitit_slurm", 0.1, "hydra/sweeper/sampler=random", "trainer.max_epochs=1")
    processes = len({one.process for one in trainings})
    return {"workers": workers, "trials": len({one.trial for one in trainings}), "processes": processes}


def _measure_one(count: int) -> dict[str, Any]:
    trainings = _trained(TRIALS_EACH * count, count, "joblib", EPOCH_SECONDS, "trainer.max_epochs=range(1,13)")
    between = gaps(trainings)
    return {
        "trials": len(trainings),
        "processes": len({one.process for one in trainings}),
        "trial_seconds": round(sum((one.end or one.begin) - one.begin for one in trainings) / len(trainings), 2),
        "busy": round(busy(trainings), 4),
        "gap_seconds": {"median": round(median(between), 3), "max": round(max(between), 3)},
    }


def _trained(trials: int, workers: int, launcher: str, seconds: float, *overrides: str) -> list[Training]:
    """Return the trainings of a sweep whose epochs take so many seconds."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        sweep = (
            f"hydra.sweep.dir={directory}/sweep",
            f"hydra.sweeper.n_trials={trials}",
            f"hydra/launcher={launcher}",
            f"hydra.sweeper.n_jobs={workers}",
        )
        finish(start(Path(directory), seconds, *sweep, *overrides))
        return log(Path(directory))


def busy(trainings: Sequence[Training]) -> float:
    """Return the fraction of time in which workers train, from each one's first training until the last one begins."""
    last = max(one.begin for one in trainings)
    first: dict[int, float] = {}
    trained = 0.0
    for one in trainings:
        first.setdefault(one.process, one.begin)
        trained += min(one.end or last, last) - one.begin
    return trained / sum(last - begin for begin in first.values())

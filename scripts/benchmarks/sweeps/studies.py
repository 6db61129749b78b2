"""What a study of thousands of trials costs: to open it, and around each further trial; and how a process grows."""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import optuna

from benchmarks.sweeps.pretended import finish, gaps, log, start
from cifar_exp.sweep.study.storage import close_storage, open_storage

FURTHER = 8  # trials in which the overhead is measured
LATER = 20  # trials after which a process counts as warm


def measure(sizes: Sequence[int], sampler: str = "tpe") -> list[dict[str, Any]]:
    """Return for each size: seconds to open the study, and from a training's end to the next one's begin."""
    rows = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        directory, common = Path(name), (f"hydra.sweep.dir={name}/sweep", f"hydra/sweeper/sampler={sampler}")
        finish(start(directory, 0.0, *common, "hydra.sweeper.n_trials=1", "trainer.max_epochs=1"))
        for size in sizes:
            url = f"sqlite:///{directory / 'sweep' / 'study.db'}"
            _fill(url, size)
            opened = _seconds_to_open(url)
            (directory / "log.jsonl").unlink()
            finish(start(directory, 0.0, *common, f"hydra.sweeper.n_trials={size + FURTHER}", "trainer.max_epochs=1"))
            between = gaps(log(directory))
            rows.append(
                {
                    "trials": size,
                    "open_seconds": round(opened, 2),
                    "overhead_seconds": {"median": round(median(between), 3), "max": round(max(between), 3)},
                }
            )
    return rows


def growth(trials: int) -> dict[str, Any]:
    """Return by how much one process grows over many trials that train nothing."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        common = (f"hydra.sweep.dir={name}/sweep", f"hydra.sweeper.n_trials={trials}", "trainer.max_epochs=1")
        finish(start(Path(name), 0.0, *common))
        trainings = log(Path(name))
    grown = trainings[-1].rss_bytes - trainings[LATER].rss_bytes
    return {"trials": trials, "grown_bytes": grown, "rss_bytes": trainings[-1].rss_bytes}


def _fill(url: str, size: int) -> None:
    """Add complete trials with random widths until the study has `size` of them."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.load_study(study_name="sweep", storage=open_storage(url))
    known, random = study.get_trials(deepcopy=False), Random(size)
    like = known[0]
    for number in range(len(known), size):
        study.add_trial(
            optuna.create_trial(
                value=random.random(),
                params={key: random.randrange(16, 129) for key in like.params},
                distributions=like.distributions,
                user_attrs={**like.user_attrs, "worker": {"directory": f"/nowhere/{number}"}},
            )
        )
    close_storage(url)


def _seconds_to_open(url: str) -> float:
    began = time.perf_counter()
    study = optuna.load_study(study_name="sweep", storage=open_storage(url))
    study.get_trials(deepcopy=False)
    seconds = time.perf_counter() - began
    close_storage(url)
    return seconds

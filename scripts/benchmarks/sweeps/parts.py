"""The parts of `python scripts/bench.py sweep`; `slurm` needs one, such as `scripts/with_slurm` starts."""

from argparse import Namespace
from collections.abc import Callable
from typing import Any

from benchmarks.sweeps import proposals, storm, studies, workers

SAMPLERS = ("tpe", "gp")
WORKERS = (2, 4)
SLURM_TRIALS, SLURM_WORKERS = 100, 4
STORM_TRIALS = 40  # of each of its studies
OF_JOBLIB = 0.3  # fraction of the kills
GROWTH_TRIALS = 200

PARTS: dict[str, Callable[[Namespace], Any]] = {
    "slurm": lambda options: workers.on_slurm(SLURM_TRIALS, SLURM_WORKERS),
    "workers": lambda options: workers.measure(WORKERS),
    "proposals": lambda options: proposals.measure(options.sizes, SAMPLERS),
    "prices": lambda options: proposals.price_cache(),
    "studies": lambda options: studies.measure(options.sizes),
    "growth": lambda options: studies.growth(GROWTH_TRIALS),
    "storm": lambda options: storm.measure("commands", round((1 - OF_JOBLIB) * options.kills), STORM_TRIALS),
    "storm_joblib": lambda options: storm.measure("joblib", round(OF_JOBLIB * options.kills), STORM_TRIALS),
}

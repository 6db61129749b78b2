"""The parts of `python scripts/bench.py sweep`."""

from argparse import Namespace
from collections.abc import Callable
from typing import Any

from benchmarks.sweeps import proposals, storm, studies, workers

SAMPLERS = ("tpe", "gp")
WORKERS = (2, 4)
STORM_TRIALS = 40  # of each of its studies
GROWTH_TRIALS = 200

PARTS: dict[str, Callable[[Namespace], Any]] = {
    "workers": lambda options: workers.measure(WORKERS),
    "proposals": lambda options: proposals.measure(options.sizes, SAMPLERS),
    "prices": lambda options: proposals.price_cache(),
    "studies": lambda options: studies.measure(options.sizes),
    "growth": lambda options: studies.growth(GROWTH_TRIALS),
    "storm": lambda options: storm.measure(options.kills, STORM_TRIALS),
}

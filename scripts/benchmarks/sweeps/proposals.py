"""Seconds and memory of a proposal against the number of trials that the study has."""

import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from random import Random
from statistics import median
from typing import Any

import optuna
from hydra import compose, initialize_config_dir
from optuna.trial import FrozenTrial

from benchmarks.sweeps.pretended import SPACE, resident_bytes
from cifar_exp.config.location import conf_dir
from cifar_exp.config.overrides import parse_overrides
from cifar_exp.sweep.search.pricing import PlanPricer
from cifar_exp.sweep.search.proposals import Proposer
from cifar_exp.sweep.search.space import Candidate, Space, build_space
from cifar_exp.sweep.settings import parse_settings

REPEATED = 5  # proposals, each with one more trial
PRICED = 20_000  # candidates, by whose prices the process may grow


def measure(sizes: Sequence[int], samplers: Sequence[str]) -> list[dict[str, Any]]:
    """Return one row per sampler and size, each measured in a process of its own."""
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as pool:
        futures = [pool.submit(_measure_one, size, sampler) for sampler in samplers for size in sizes]
        return [future.result() for future in futures]


def price_cache() -> dict[str, Any]:
    """Return by how much a process grows that prices thousands of different candidates."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return {"candidates": PRICED, "grown_bytes": pool.submit(_grown_by_prices).result()}


def _parts(sampler: str = "tpe") -> tuple[Space, PlanPricer, Proposer]:
    space = build_space(parse_overrides(SPACE))
    pricer = PlanPricer(space, lambda overrides: compose("train", overrides=overrides), ("model", "data"))
    settings = {"n_trials": 9, "study_name": "s", "sampler": {"name": sampler}, "pruner": {"name": "none"}}
    return space, pricer, Proposer(space, pricer, parse_settings(settings))


def _measure_one(size: int, sampler: str) -> dict[str, Any]:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        space, _, proposer = _parts(sampler)
        proposer.check()
        random = Random(size)
        trials = [_ended(space, _drawn(space, random), random.random()) for _ in range(size)]
        before, wall, used = resident_bytes(), [], []
        for seed in range(REPEATED + 1):
            began, cpu = time.perf_counter(), time.process_time()
            proposal = proposer.propose(trials, seed)
            wall.append(time.perf_counter() - began)
            used.append(time.process_time() - cpu)
            assert proposal is not None
            trials.append(_ended(space, proposal.candidate, random.random()))
    return {
        "sampler": sampler,
        "trials": size,
        "first_seconds": round(wall[0], 3),
        "seconds": round(median(wall[1:]), 3),
        "cpu_seconds": round(median(used[1:]), 3),
        "grown_bytes": resident_bytes() - before,
    }


def _grown_by_prices() -> int:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        space, pricer, _ = _parts()
        random = Random(0)
        for _ in range(PRICED // 10):
            pricer.price(_drawn(space, random))
        before = resident_bytes()
        for _ in range(PRICED):
            pricer.price(_drawn(space, random))
    return resident_bytes() - before


def _drawn(space: Space, random: Random) -> Candidate:
    return {key: swept.draw(random) for key, swept in space.swept.items()}


def _ended(space: Space, candidate: Candidate, value: float) -> FrozenTrial:
    return optuna.create_trial(value=value, params=candidate, distributions=space.distributions)

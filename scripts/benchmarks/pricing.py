"""How many candidates of a sweep are planned, priced and held against the budget in a second."""

import random
import time
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser

from benchmarks.training import spread
from cifar_exp.config.location import conf_dir
from cifar_exp.sweep.search.pricing import PlanPricer
from cifar_exp.sweep.search.space import build_space

SPACE = [
    "model=model50k",
    "model.layer.projection=conv1x1",  # its own takes multiples only: few would be priced to the end
    "budget.params=50000",
    *(f"model.layers.conv{number}.channels=range(16,129)" for number in range(1, 8)),
]


def priced_a_second(rounds: int, seconds: float = 1.0) -> dict[str, Any]:
    """Over candidates of seven layers, all of them new, on one core, without torch."""
    space = build_space(OverridesParser.create().parse_overrides(SPACE))
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        pricer = PlanPricer(space, lambda overrides: compose("train", overrides), groups=["model"])
        draw = random.Random(0)
        pricer.price({key: one.draw(draw) for key, one in space.swept.items()})  # composes
        rates, fitted = [], 0
        for _ in range(rounds):
            count, started = 0, time.perf_counter()
            while time.perf_counter() - started < seconds:
                fitted += pricer.price({key: one.draw(draw) for key, one in space.swept.items()}).fits
                count += 1
            rates.append(count / (time.perf_counter() - started))
    if not fitted:
        raise RuntimeError("no candidate fitted: they were refused early, which is not what is measured")
    return {**spread(rates), "fitted": fitted}

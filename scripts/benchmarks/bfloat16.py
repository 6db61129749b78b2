"""Seconds for 50,000 images in float32 and with bfloat16 where it is faster, one epoch of each in turn."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from benchmarks.gate import Setting
from benchmarks.training import interleaved, ratio, scaled, spread

FULL, HALF = "32-true", "bf16-mixed"


def measure(models: Sequence[str], setting: Setting, rounds: int) -> dict[str, Any]:
    """Return the figures of each model, trained by `cifar-exp` itself."""
    return {model: _measure_one(replace(setting, model=model), rounds) for model in models}


def _measure_one(setting: Setting, rounds: int) -> dict[str, Any]:
    chosen = {precision: ("ours", replace(setting, precision=precision)) for precision in (FULL, HALF)}
    epochs = interleaved(chosen, rounds)
    seconds = {name: [scaled(one.train_seconds, one) for one in each] for name, each in epochs.items()}
    return {
        "seconds": {name: spread(values) for name, values in seconds.items()},
        "times_as_fast": ratio(seconds[FULL], seconds[HALF]),
        "images_timed": setting.images,
    }

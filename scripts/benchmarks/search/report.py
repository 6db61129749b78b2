"""The comparison of search methods as a Markdown page."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from benchmarks.search.compare import BUDGET, TRIALS
from benchmarks.search.methods import METHODS

PARTS = (0.25, 0.5, 0.75, 1.0)  # of the budget of trained images
Lane = Mapping[str, Any]


def page(lanes: Sequence[Lane]) -> str:
    """Return the tables of finished searches, one row per method."""
    task = lanes[0]["task"]
    return "\n".join(
        [
            "# Search methods compared",
            "",
            f"Written by `python scripts/bench.py search`. Each search may train on as many images as {TRIALS} full "
            f"trials do; a trained candidate has at most {BUDGET:,} parameters. The winner is trained again; "
            "its weights are selected by validation and tested once. Means over seeds, ± the standard deviation.",
            "",
            f"Trial: `{_shown([*task['fixed'], *task['trial']])}`",
            "",
            f"Winner: `{_shown([*task['fixed'], *task['final']])}`",
            "",
            "| method | seeds | trials | rejected candidates | winner, validation | winner, test |",
            "| --- | ---: | ---: | ---: | ---: | ---: |",
            *(_row(method, found) for method, found in _by_method(lanes)),
            "",
            "Best validation accuracy of a trial so far, by the fraction of the images used up:",
            "",
            f"| method | {' | '.join(f'{part:.0%}' for part in PARTS)} |",
            f"| --- |{' ---: |' * len(PARTS)}",
            *(_progress(method, found) for method, found in _by_method(lanes)),
            "",
        ]
    )


def read(directory: Path) -> list[Lane]:
    """Return the finished searches in a directory."""
    found = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(directory.glob("*.json"))]
    return [lane for lane in found if "final" in lane]


def best_after(lane: Lane, images: float) -> float:
    """Return the best validation accuracy of a trial while at most so many images had been trained on."""
    done = [max(trial["curve"]) for trial in lane["trials"] if trial["images"] <= images]
    return max(done, default=0.0)


def _shown(overrides: Sequence[str]) -> str:
    root = "data.root="
    return " ".join(f"{root}IMAGES" if override.startswith(root) else override for override in overrides)


def _by_method(lanes: Sequence[Lane]) -> list[tuple[str, list[Lane]]]:
    found = [(method, [lane for lane in lanes if lane["task"]["method"] == method]) for method in METHODS]
    return [(method, some) for method, some in found if some]


def _row(method: str, lanes: Sequence[Lane]) -> str:
    trials, rejected = ([lane[key] for lane in lanes] for key in ("trials", "rejected"))
    cells = [
        method,
        str(len(lanes)),
        f"{mean(map(len, trials)):.1f}",
        f"{mean(rejected):.0f}",
        _spread([lane["final"]["val"] for lane in lanes]),
        _spread([lane["final"]["test"] for lane in lanes]),
    ]
    return f"| {' | '.join(cells)} |"


def _progress(method: str, lanes: Sequence[Lane]) -> str:
    total = max(lane["images"] for lane in lanes)
    return f"| {method} | {' | '.join(_spread([best_after(lane, part * total) for lane in lanes]) for part in PARTS)} |"


def _spread(values: Sequence[float]) -> str:
    return f"{mean(values):.2%}" + (f" ± {100 * stdev(values):.2f}" if len(values) > 1 else "")

"""The comparison of search methods as a Markdown page."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from scipy.stats import kendalltau, ttest_rel  # type: ignore[import-untyped]

from benchmarks.search.methods import METHODS

PARTS = (0.25, 0.5, 0.75, 1.0)  # of the budget of trained images
Lane = Mapping[str, Any]

ABOUT = """\
- `ours`: the search of `sweep=width50k` (TPE among the candidates within the budget, the last width as large as fits)
  with `hydra.sweeper.prefer=macs hydra/sweeper/pruner=successive_halving`.
- `ours, any MACs`: without `prefer`. `ours, median`: without it and with the median rule, as `width50k` is shipped.
- `optuna`: TPE with soft constraints and the median rule, as Optuna's documentation has it.
- `random`: uniform candidates, each trained in full.
- `Ray Tune`: its ASHA scheduler at its defaults, with uniform candidates that are drawn again while over the budget.
- `KerasTuner`: its Bayesian optimization, which rejects models that are too large.

The last two run their own loops around the same trainings (`pip install 'ray[tune]' keras 'keras-tuner[bayesian]'`,
with `KERAS_BACKEND=torch`).""".splitlines()


def page(lanes: Sequence[Lane]) -> str:
    """Return the tables of finished searches, one row per method."""
    task = lanes[0]["task"]
    epochs = lanes[0]["epochs"]
    seeds = sorted({lane["task"]["seed"] for lane in lanes})
    shown_seeds = ", ".join(map(str, seeds))
    return "\n".join(
        [
            "# Search methods compared",
            "",
            f"Each search may train on as many images as {task['trials']} full trials of {epochs} epochs do. The "
            "winner, the full trial with the best validation accuracy, is trained again for longer; its weights are "
            "selected by validation and tested once. "
            + (f"Means over the seeds {shown_seeds}, ± the standard deviation. " if len(seeds) > 1 else "One seed. ")
            + "Written by:",
            "",
            "```console",
            f"$ python scripts/bench.py search --data {_shown(_given(task))}",
            "```",
            "",
            f"- Trial: `{_shown([*task['fixed'], *task['trial']])}`",
            f"- Winner: `{_shown([*task['fixed'], *task['final']])}`",
            f"- Space: {', '.join(f'`{key}={values}`' for key, values in task['widths'].items())}",
            "",
            *ABOUT,
            "",
            "Over the budget are candidates that a method has proposed and that were rejected; none was trained. At "
            "equal numbers of images, a method that prefers networks with more MACs takes more time.",
            "",
            "| method | seeds | trials | pruned | over the budget | forward MACs of the trials, billions "
            "| parameters of the winner | winner, validation | winner, test |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
            *(_row(method, found) for method, found in _by_method(lanes)),
            "",
            *_differences(lanes),
            "Best validation accuracy of a trial so far, by the fraction of the images that have been trained on:",
            "",
            f"| method | {' | '.join(f'{part:.0%}' for part in PARTS)} |",
            f"| --- |{' ---: |' * len(PARTS)}",
            *(_progress(method, found) for method, found in _by_method(lanes)),
            "",
            *_rank_correlations(lanes, epochs),
            "",
        ]
    )


def read(directory: Path) -> list[Lane]:
    """Return the finished searches in a directory, of the seeds with which every method has finished."""
    found = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(directory.glob("*.json"))]
    done = [lane for lane in found if "final" in lane]
    of_seed: dict[int, set[str]] = {}
    for lane in done:
        of_seed.setdefault(lane["task"]["seed"], set()).add(lane["task"]["method"])
    complete = {seed for seed, methods in of_seed.items() if methods == set(METHODS)}
    return [lane for lane in done if lane["task"]["seed"] in complete]


def best_after(lane: Lane, images: float) -> float:
    """Return the best validation accuracy of a trial while at most so many images had been trained on."""
    done = [max(trial["curve"]) for trial in lane["trials"] if trial["images"] <= images]
    return max(done, default=0.0)


def _rank_correlations(lanes: Sequence[Lane], epochs: int) -> list[str]:
    """Return how well earlier epochs of a trial rank the networks of one seed by their last one."""
    curves: dict[int, dict[str, list[float]]] = {}
    for lane in lanes:
        of_seed = curves.setdefault(lane["task"]["seed"], {})
        of_seed.update({str(one["params"]): one["curve"] for one in lane["trials"] if len(one["curve"]) == epochs})
    count = sum(map(len, curves.values()))
    if epochs < 2 or min(map(len, curves.values())) < 2:
        return []
    correlations = []
    for epoch in range(epochs - 1):
        of_seeds = [
            kendalltau([curve[epoch] for curve in some.values()], [curve[-1] for curve in some.values()]).statistic
            for some in curves.values()
        ]
        correlations.append(f"{mean(of_seeds):.2f}")
    return [
        f"Kendall's τ between the validation accuracy after an earlier epoch and after the last, over the {count} "
        "different networks that were trained in full, mean over the seeds:",
        "",
        f"| epoch | {' | '.join(map(str, range(1, epochs)))} |",
        f"| --- |{' ---: |' * (epochs - 1)}",
        f"| τ | {' | '.join(correlations)} |",
    ]


def _differences(lanes: Sequence[Lane]) -> list[str]:
    """Return how far the first method is ahead of each other one, over the seeds."""
    tests = {method: _tests_by_seed(found) for method, found in _by_method(lanes)}
    (name, first), *others = tests.items()
    if len(first) < 2:
        return []
    rows = []
    for method, other in others:
        pairs = [(first[seed], other[seed]) for seed in sorted(first)]
        differences = [100 * (one - two) for one, two in pairs]
        p = ttest_rel(*zip(*pairs, strict=True)).pvalue
        rows.append(f"| {method} | {mean(differences):+.2f} ± {stdev(differences):.2f} | {p:.2f} |")
    return [
        f"Test accuracy of `{name}` minus that of another method, in percentage points, paired by seed: mean, standard "
        f"deviation, and p of a two-sided paired t-test with {len(first)} pairs, not corrected for {len(rows)} "
        "comparisons. So few pairs can show large differences only.",
        "",
        "| other method | difference | p |",
        "| --- | ---: | ---: |",
        *rows,
        "",
    ]


def _tests_by_seed(lanes: Sequence[Lane]) -> dict[int, float]:
    return {lane["task"]["seed"]: lane["final"]["test"] for lane in lanes}


def _given(task: Mapping[str, Any]) -> list[str]:
    """Return the overrides of the command: those that the comparison itself does not set."""
    own = ("experiment=", "budget.", "logger.")
    return [override for override in task["fixed"] if not override.startswith(own)]


def _shown(overrides: Sequence[str]) -> str:
    root = "data.root="
    return " ".join(f"{root}IMAGES" if override.startswith(root) else override for override in overrides)


def _by_method(lanes: Sequence[Lane]) -> list[tuple[str, list[Lane]]]:
    found = [(method, [lane for lane in lanes if lane["task"]["method"] == method]) for method in METHODS]
    return [(method, some) for method, some in found if some]


def _row(method: str, lanes: Sequence[Lane]) -> str:
    trials = [lane["trials"] for lane in lanes]
    cells = [
        method,
        str(len(lanes)),
        f"{mean(map(len, trials)):.1f}",
        f"{mean(sum(trial['pruned'] for trial in some) for some in trials):.1f}",
        f"{mean(lane['rejected'] for lane in lanes):.0f}",
        f"{mean(map(_forward_macs, lanes)) / 1e9:.0f}",
        ", ".join(f"{lane['final']['cost']:,}" for lane in lanes),
        _spread([lane["final"]["val"] for lane in lanes]),
        _spread([lane["final"]["test"] for lane in lanes]),
    ]
    return f"| {' | '.join(cells)} |"


def _forward_macs(lane: Lane) -> float:
    """Return the multiply-accumulates of the forward passes of all trials."""
    images_before = [0, *(trial["images"] for trial in lane["trials"])]
    return float(
        sum(
            trial["macs"] * (trial["images"] - before)
            for before, trial in zip(images_before, lane["trials"], strict=False)
        )
    )


def _progress(method: str, lanes: Sequence[Lane]) -> str:
    total = max(lane["images"] for lane in lanes)
    return f"| {method} | {' | '.join(_spread([best_after(lane, part * total) for lane in lanes]) for part in PARTS)} |"


def _spread(values: Sequence[float]) -> str:
    return f"{mean(values):.2%}" + (f" ± {100 * stdev(values):.2f}" if len(values) > 1 else "")

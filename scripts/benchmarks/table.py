"""The figures as tables."""

from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Table

Figures = dict[str, Any]


def show(document: Figures) -> None:
    """Print every table that the document has figures for."""
    console = Console(width=None if Console().is_terminal else 120)
    about = document["machine"]
    console.print(
        f"{about['device']} · {about['cpu']}, {about['cores']} cores · torch {about['torch']} · {about['date']}"
    )
    if "training" in document:
        console.print(training(document["training"]))
    if "bfloat16" in document:
        console.print(bfloat16(document["bfloat16"]))
    rows = [*_startup(document), *_memory(document), *_pricing(document)]
    if rows:
        console.print(_table("Commands", ("figure", "measured"), rows))
    if "scaling" in document:
        console.print(scaling(document["scaling"]))
    for one in sweep(document.get("sweep", {})):
        console.print(one)


def training(models: dict[str, Figures]) -> Table:
    """Return the time per epoch of each model, beside other ways to train it."""
    header = ("model", "ours", "ours, all in", "bare loop", "usual", "usual / ours", "ours / bare", "ours / compiled")
    rows = [
        (
            model,
            _spread(figures["seconds"]["ours"], " s"),
            _spread(figures["ours_all_in"], " s"),
            _spread(figures["seconds"]["bare"], " s"),
            f"{_spread(figures['seconds'][figures['usual_chosen']], ' s')}, {figures['usual_chosen'].split(', ')[1]}",
            _spread(figures["usual_over_ours"], ""),
            _spread(figures["ours_over_bare"], ""),
            _spread(figures["ours_over_compiled"], "") if "ours_over_compiled" in figures else "",
        )
        for model, figures in models.items()
    ]
    return _table("Seconds for 50,000 images: median (least – most)", header, rows)


def bfloat16(models: dict[str, Figures]) -> Table:
    """Return the time per epoch of each model in each precision."""
    names = list(next(iter(models.values()))["seconds"])
    rows = [
        (
            model,
            *(_spread(figures["seconds"][name], " s") for name in names),
            _spread(figures["times_as_fast"], ""),
        )
        for model, figures in models.items()
    ]
    return _table("Seconds for 50,000 images: median (least – most)", ("model", *names, "times as fast"), rows)


def scaling(figures: Figures) -> Table:
    """Return the time per epoch for each number of images."""
    rows = [
        (f"{row['images']:,}", f"{row['seconds']:.2f} s", f"{row['seconds'] / row['images'] * 1e6:.1f} µs")
        for row in figures["epochs"]
    ]
    title = f"An epoch of a small network; off a straight line by at most {figures['straightness']:.1%}"
    return _table(title, ("images", "epoch", "per image"), rows)


def sweep(parts: Figures) -> list[Table]:
    """Return the tables of `bench.py sweep`."""
    makers: dict[str, Callable[[Any], Table]] = {"workers": _workers, "proposals": _proposals, "studies": _studies}
    tables = [make(parts[name]) for name, make in makers.items() if name in parts]
    rows = [
        (f"growth of a process over {parts[name][count]:,} {count}", _megabytes(parts[name]["grown_bytes"]))
        for name, count in (("growth", "trials"), ("prices", "candidates"))
        if name in parts
    ]
    if "slurm" in parts:
        one = parts["slurm"]
        rows.append((f"processes for {one['trials']} trials on {one['workers']} Slurm jobs", str(one["processes"])))
    storms = {"storm": "storm of commands", "storm_joblib": "storm of joblib"}
    for part, label in storms.items():
        rows += [(f"{label}: {name.replace('_', ' ')}", str(count)) for name, count in parts.get(part, {}).items()]
    return [*tables, _table("Processes, memory, and a storm", ("figure", "measured"), rows)] if rows else tables


def _workers(figures: Figures) -> Table:
    rows = [
        (
            count,
            f"{one['busy']:.1%}",
            _gap(one["gap_seconds"]),
            f"{one['trial_seconds']:.1f} s",
            str(one["processes"]),
        )
        for count, one in figures.items()
    ]
    header = ("workers", "busy", "gap between trials", "per trial", "processes")
    return _table("Trials of 1 to 12 epochs that only sleep, on joblib", header, rows)


def _proposals(figures: list[Figures]) -> Table:
    rows = [
        (
            one["sampler"],
            f"{one['trials']:,}",
            f"{one['first_seconds']:.2f} s",
            f"{one['seconds']:.2f} s",
            f"{one['cpu_seconds']:.2f} s",
            _megabytes(one["grown_bytes"]),
        )
        for one in figures
    ]
    header = ("sampler", "trials", "first proposal", "further ones", "processor time", "memory")
    return _table("Proposals of seven widths within 50,000 parameters", header, rows)


def _studies(figures: list[Figures]) -> Table:
    rows = [(f"{one['trials']:,}", f"{one['open_seconds']:.2f} s", _gap(one["overhead_seconds"])) for one in figures]
    header = ("trials", "opened in", "from a training's end to the next one's start")
    return _table("A study of many trials, one worker", header, rows)


def _gap(figures: Figures) -> str:
    return f"{figures['median']:.2f} s (largest {figures['max']:.2f})"


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


def _startup(document: Figures) -> list[tuple[str, str]]:
    if "startup" not in document:
        return []
    figures = document["startup"]
    names = {"help": "cifar-exp --help", "summary": "cifar-exp summary", "first_step": "train, to its first step"}
    return [(label, _spread(figures[name], " s")) for name, label in names.items()]


def _memory(document: Figures) -> list[tuple[str, str]]:
    if "memory" not in document:
        return []
    return [("peak resident memory", f"{document['memory']['peak_bytes'] / 1e9:.2f} GB")]


def _pricing(document: Figures) -> list[tuple[str, str]]:
    if "pricing" not in document:
        return []
    figures = document["pricing"]
    return [("candidates priced/s", f"{figures['median']:,.0f} ({figures['min']:,.0f} – {figures['max']:,.0f})")]


def _table(title: str, header: tuple[str, ...], rows: list[Any]) -> Table:
    table = Table(title=title, title_justify="left")
    for number, name in enumerate(header):
        table.add_column(name, justify="right" if number else "left")
    for row in rows:
        table.add_row(*row)
    return table


def _spread(figures: Figures, unit: str) -> str:
    return f"{figures['median']:.2f}{unit} ({figures['min']:.2f} – {figures['max']:.2f})"

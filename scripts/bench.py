#!/usr/bin/env python
"""Measure cifar-exp's speed, show the figures, and keep them in results/bench/.

  python scripts/bench.py                      everything, on the processor and on a CUDA GPU where there is one
  python scripts/bench.py training --rounds 7  ours, the usual pipeline and a bare loop; see scripts/benchmarks/
  python scripts/bench.py startup memory       start-up, and peak resident memory
  python scripts/bench.py scaling              one epoch of 10,000 to 1,000,000 synthetic images
  python scripts/bench.py pricing              candidates priced a second
  python scripts/bench.py bfloat16             ours in float32 and with bfloat16
  python scripts/bench.py search --data data=folder data.root=IMAGES
                                               search methods on real trainings, for results/search.md: minutes on a
                                               GPU, hours on a processor, there with a command as results/search.md has
  python scripts/bench.py sweep                workers, proposals, large studies, and a storm of kills, with trainings
                                               that only sleep: an hour; `--parts workers proposals` some of them;
                                               `scripts/with_slurm` in front of it for the part `slurm`

On two cores everything but `search` and `sweep` takes a quarter of an hour. Leave the machine alone meanwhile: its load
is kept with the figures.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import machine, table
from benchmarks.sweeps.parts import PARTS

from cifar_exp.files import write_text
from cifar_exp.process import configure_process

RESULTS = Path(__file__).parents[1] / "results" / "bench"
SUBJECTS = ("training", "startup", "memory", "scaling", "pricing", "bfloat16")
ALONE = ("search", "sweep")
STEPS = {"cpu": 60, "cuda": 391}  # of an epoch; on a GPU a whole one of 50,000 images
COUNTS = (10_000, 30_000, 100_000, 300_000, 1_000_000)
SIZES = (10, 100, 1000, 2000, 5000)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "subjects",
        nargs="*",
        metavar="SUBJECT",
        help=f"of {', '.join(SUBJECTS)}; default: all. Or one of {', '.join(ALONE)}",
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), help="default: each that is there")
    parser.add_argument("--models", nargs="+", default=["model2", "model3", "model50k"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, help=f"of an epoch, per device {STEPS}")
    parser.add_argument("--batch-size", type=int, default=128, help="small ones show what a pipeline adds to a step")
    parser.add_argument("--precision", default="32-true", help="of all pipelines: 32-true, bf16-mixed")
    parser.add_argument("--compile", choices=("default", "reduce-overhead", "max-autotune"), help="ours, compiled, too")
    parser.add_argument("--workers", nargs="+", type=int, default=[0, 2], help="of the usual pipeline; the best counts")
    parser.add_argument("--counts", nargs="+", type=int, default=COUNTS, help="images of `scaling`")
    parser.add_argument(
        "--data",
        nargs="+",
        default=["data=synthetic", "data.train_size=50000", "data.test_size=10000"],
        metavar="OVERRIDE",
        help="of `startup`, `memory` and `search`, e.g. data=cifar10",
    )
    parser.add_argument("--processes", type=int, default=1, help="searches at a time")
    parser.add_argument(
        "--parts", nargs="+", choices=PARTS, default=[name for name in PARTS if name != "slurm"], help="of `sweep`"
    )
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES, help="trials of the studies of `sweep`")
    parser.add_argument("--kills", type=int, default=100, help="of the storm of `sweep`")
    parser.add_argument("--output", type=Path, default=RESULTS, help="directory of the JSON")
    options = parser.parse_args(arguments)
    if len(options.subjects) == 1 and options.subjects[0] in ALONE:
        return options
    unknown = [subject for subject in options.subjects if subject not in SUBJECTS]
    if unknown:
        parser.error(f"{unknown[0]}: expected one of {', '.join(SUBJECTS)}")
    options.subjects = options.subjects or list(SUBJECTS)
    return options


def measure(options: argparse.Namespace, device: str) -> dict[str, Any]:
    """Return each subject's figures on one device."""
    from benchmarks import bfloat16, commands, pricing, training
    from benchmarks.gate import Setting

    setting = Setting(
        "", device, options.precision, options.batch_size, options.steps or STEPS[device], compile=options.compile
    )
    subjects: dict[str, Callable[[], Any]] = {
        "pricing": lambda: pricing.priced_a_second(options.rounds),
        "startup": lambda: commands.startup(device, options.data, options.rounds),
        "memory": lambda: commands.memory(device, options.data),
        "training": lambda: training.measure(options.models, setting, options.rounds, options.workers),
        "bfloat16": lambda: bfloat16.measure(options.models, setting, options.rounds),
        "scaling": lambda: commands.scaling(device, options.counts),
    }
    return {name: subject() for name, subject in subjects.items() if name in options.subjects}


def compare_searches(overrides: Sequence[str], processes: int) -> None:
    """Run the searches that are not finished yet and write results/search.md."""
    from benchmarks.search import compare, report

    directory = RESULTS.parent / "search"
    compare.run(overrides, directory, processes)
    write_text(RESULTS.parent / "search.md", report.page(report.read(directory)))


def devices(chosen: str | None) -> list[str]:
    """Return the chosen device, or all that are there."""
    import torch

    return [chosen] if chosen else ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def main() -> None:
    options = parse(sys.argv[1:])
    configure_process()
    if options.subjects == ["search"]:
        compare_searches(options.data, options.processes)
        return
    if options.subjects == ["sweep"]:
        parts = {name: PARTS[name](options) for name in options.parts}
        keep({"machine": machine.facts("cpu"), "sweep": parts}, options.output, "sweep")
        return
    for device in devices(options.device):
        document = {"machine": machine.facts(device), "precision": options.precision, **measure(options, device)}
        keep(document, options.output, machine.slug(device))


def keep(document: dict[str, Any], directory: Path, name: str) -> None:
    """Show the figures and write them to a new file."""
    table.show(document)
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / f"{datetime.now(UTC):%Y-%m-%d-%H%M%S}-{name}.json"
    file.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(file)


if __name__ == "__main__":
    main()

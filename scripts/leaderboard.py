"""Keeps the results of finished runs and writes `results/leaderboard.md` from them, never by hand.

python scripts/leaderboard.py add RUN [RUN …]      copies what may be shown of finished runs to results/runs/
python scripts/leaderboard.py weights RUN [RUN …]  copies the weights alone to results/weights/, for predict
python scripts/leaderboard.py                      writes the table, as the other two do at their end
"""

import json
import sys
from pathlib import Path
from typing import Any

import yaml

from cifar_exp.errors import UserError
from cifar_exp.files import atomic, write_json, write_text
from cifar_exp.training.run_dir import RunDir

RESULTS = Path(__file__).parents[1] / "results"
LOCAL = ("checkpoint", "wandb_dir")  # paths of the machine that the run was made on
NOT_OF_THE_RESULT = ("hydra.", "data.root=", "name=")  # overrides that say where, not what

HEADER = """# Leaderboard

Written by `python scripts/leaderboard.py` from `results/runs/*.json`, the `result.json` of each run. Test accuracy is
that of the weights with the best validation accuracy, tested once. All on CIFAR-10, JPEG copies: these are **not** the
published benchmark's figures. `IMAGES` is the directory of the images; seconds are of the whole run, on one core of a
machine that other work shared; those of the runs of 60 epochs hold a pause of about half an hour.

| network | params | MACs | peak activation bytes | test accuracy | epochs | seconds | device | command |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- | --- |
"""


def command_of(run: RunDir) -> str:
    """The command that repeats the run, with `IMAGES` for the place of the images."""
    overrides: list[str] = yaml.safe_load((run.config.parent / "overrides.yaml").read_text(encoding="utf-8"))
    shown = [override.lstrip("+") for override in overrides if not override.startswith(NOT_OF_THE_RESULT)]
    shown = [override + " data.root=IMAGES" if override == "data=folder" else override for override in shown]
    return " ".join(["cifar-exp train", *shown])


def add(directory: Path, label: str | None = None) -> Path:
    """Copies a finished run's result, without its machine's paths, and its command. Raises UserError otherwise."""
    run = RunDir(directory)
    if not run.finished:
        raise UserError(f"{directory}: not a finished run.")
    result = {key: value for key, value in run.read_result().items() if key not in LOCAL}
    kept = RESULTS / "runs" / f"{label or directory.name}.json"
    write_json(kept, {**result, "command": command_of(run)})
    return kept


def add_weights(directory: Path, label: str | None = None) -> Path:
    """Copies a finished run's best weights, without the optimizer's state, as a checkpoint that describes itself."""
    import torch

    from cifar_exp.training.checkpoints import load_checkpoint
    from cifar_exp.training.classifier import DESCRIPTION

    checkpoint = load_checkpoint(RunDir(directory).best)
    kept = RESULTS / "weights" / f"{label or directory.name}.ckpt"
    with atomic(kept) as temporary:
        torch.save({key: checkpoint[key] for key in (DESCRIPTION, "state_dict")}, temporary)
    return kept


def row(result: dict[str, Any]) -> str:
    """One line of the table."""
    cells = [
        result["model"],
        f"{result['params']:,}",
        f"{result['macs']:,}",
        f"{result['peak_activation_bytes']:,}",
        f"{result['test/acc']:.2%}",
        str(result["epochs"]),
        f"{result['total_seconds']:,.0f}",
        result["device"],
        f"`{result['command']}`",
    ]
    return f"| {' | '.join(cells)} |"


def leaderboard(results: list[dict[str, Any]]) -> str:
    """The whole page, the best first."""
    return HEADER + "\n".join(row(result) for result in sorted(results, key=lambda each: -each["test/acc"])) + "\n"


def main(arguments: list[str]) -> int:
    """See the module."""
    try:
        for directory in arguments[1:]:
            print({"add": add, "weights": add_weights}[arguments[0]](Path(directory)))
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    results = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((RESULTS / "runs").glob("*.json"))]
    write_text(RESULTS / "leaderboard.md", leaderboard(results))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Keep the results of finished runs, and write `results/leaderboard.md` from them.

python scripts/leaderboard.py add RUN [RUN …]      copy the results of finished runs, without paths, to results/runs/
python scripts/leaderboard.py weights RUN [RUN …]  copy the weights alone to results/weights/, for predict
python scripts/leaderboard.py                      write the table, as the other two do at their end
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.errors import ConfigCompositionException
from omegaconf import DictConfig

from cifar_exp.config.location import conf_dir
from cifar_exp.config.messages import ConfigError
from cifar_exp.config.parse import parse
from cifar_exp.config.schema import TrainConfig
from cifar_exp.errors import UserError
from cifar_exp.files import atomic, write_json, write_text
from cifar_exp.runs.directory import RunDir

RESULTS = Path(__file__).parents[1] / "results"
LOCAL = ("checkpoint", "wandb_dir")  # paths of the machine that the run was made on
NOT_OF_THE_RESULT: dict[str, Any] = {  # keys of the config
    **dict.fromkeys(("name", "tags", "resume", "trial", "logger"), True),
    "trainer": {"enable_progress_bar"},
    "data": {"root", "cache_dir", "eval_batch_size"},
    "distill": {"teacher"},
}
TEACHER = "distill.teacher="
NOT_SHOWN = (
    "hydra.",
    "data.root=",
    "data.cache_dir=",
    "name=",
    "tags=",
    "trial=",
    "logger",
    "trainer.enable_progress_bar=",
)
# What a command has beside the name of its recipe, in this order
OF_ANY_RECIPE = ("data=", "data.", "compile=", "trainer.accelerator=", "trainer.precision=", TEACHER, "seed=")

HEADER = """# Leaderboard

Written by `python scripts/leaderboard.py` from `results/runs/*.json`, the `result.json` of each run. Test accuracy is
that of the checkpoint with the best validation accuracy, tested once. It is the accuracy of one seed, or the mean and
standard deviation over several. All runs are on CIFAR-10 as JPEG copies: these are **not** the published benchmark's
accuracies. `IMAGES` is the directory of the images, `TEACHER` the run of the network that this one was distilled from.
Seconds are those of the whole run. Where the device is `cpu`, it is one or two cores of a shared machine, and pauses
for other work are included. The GPU was shared by up to seven of these trainings at once.

| network | params | MACs | peak activation bytes | test accuracy | seeds | epochs | seconds | device | command |
| --- | ---: | ---: | ---: | ---: | --- | ---: | ---: | --- | --- |
"""


def command_of(run: RunDir) -> str:
    """Return the command that repeats the run, by its recipe if it has one, with `IMAGES` and `TEACHER` for paths."""
    given: list[str] = yaml.safe_load((run.config.parent / "overrides.yaml").read_text(encoding="utf-8"))
    overrides = [override.removeprefix("++") for override in given]
    named = [one.removeprefix("experiment=") for one in overrides if one.startswith("experiment=")]
    recipes = named or sorted(file.stem for file in (conf_dir() / "experiment").glob("*.yaml"))
    for beside in (OF_ANY_RECIPE, ("model=", *OF_ANY_RECIPE)):  # a recipe may leave the model to the user
        kept = [one for start in beside for one in overrides if one.startswith(start)]  # so seeds of a recipe match
        recipe = recipe_of(run, recipes, kept)
        if recipe is not None:
            overrides = [f"experiment={recipe}", *kept]
            break
    else:
        if named:
            raise UserError(
                f"{run.path}: experiment={named[0]} has changed since this run, or the run has further overrides."
            )
    shown = [override for override in overrides if not override.startswith(NOT_SHOWN)]
    shown = [override + " data.root=IMAGES" if override == "data=folder" else override for override in shown]
    shown = [f"{TEACHER}TEACHER" if override.startswith(TEACHER) else override for override in shown]
    return " ".join(["cifar-exp train", *shown])


def recipe_of(run: RunDir, recipes: Sequence[str], beside: Sequence[str]) -> str | None:
    """Return the name of the recipe among some that gives the run's config with the overrides `beside` it."""
    of_run = _of_the_result(yaml.safe_load(run.config.read_text(encoding="utf-8")))
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        for recipe in recipes:
            try:
                of_recipe = _of_the_result(compose("train", [f"experiment={recipe}", *beside]))
            except ConfigCompositionException:  # an option from the user's own directory
                return None
            except ConfigError:  # a recipe that needs more overrides than this run has
                continue
            if of_recipe == of_run:
                return recipe
    return None


def _of_the_result(config: DictConfig | Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a config that a result depends on: without names, paths, and how it is shown or evaluated."""
    return parse(TrainConfig, config).model_dump(exclude=NOT_OF_THE_RESULT)


def add(directory: Path, label: str | None = None) -> Path:
    """Copy a finished run's result, without paths of its machine, and its command. Raise UserError otherwise."""
    run = RunDir(directory)
    if not run.finished:
        raise UserError(f"{directory}: not a finished run.")
    result = {key: value for key, value in run.read_result().document().items() if key not in LOCAL}
    result.get("provenance", {}).pop("command", None)  # contains paths; `command_of` does not
    kept = RESULTS / "runs" / f"{label or directory.name}.json"
    document = {**result, "command": command_of(run)}
    if kept.is_file() and json.loads(kept.read_text(encoding="utf-8")) != document:
        raise UserError(f"{kept}: contains another run; rename {directory}, or remove the file first.")
    write_json(kept, document)
    return kept


def add_weights(directory: Path, label: str | None = None) -> Path:
    """Copy a finished run's best weights, without the optimizer's state, as a checkpoint that describes its network."""
    import torch

    from cifar_exp.inference.classifier import DESCRIPTION, load_checkpoint

    checkpoint = load_checkpoint(RunDir(directory).best)
    kept = RESULTS / "weights" / f"{label or directory.name}.ckpt"
    with atomic(kept) as temporary:
        torch.save({key: checkpoint[key] for key in (DESCRIPTION, "state_dict")}, temporary)
    return kept


def row(results: Sequence[Mapping[str, Any]]) -> str:
    """Return one row of the table: the runs of one command, which differ in their seeds."""
    first, accuracies = results[0], [result["test/acc"] for result in results]
    spread = f" ± {100 * stdev(accuracies):.2f}" if len(results) > 1 else ""
    cells = [
        first["model"],
        f"{first['params']:,}",
        f"{first['macs']:,}",
        f"{first['peak_activation_bytes']:,}",
        f"{mean(accuracies):.2%}{spread}",
        ", ".join(str(seed) for seed in sorted(result["seed"] for result in results)),
        str(first["epochs"]),
        f"{median(result['total_seconds'] for result in results):,.0f}",
        first["device"],
        f"`{_without_seed(first['command'])}`",
    ]
    return f"| {' | '.join(cells)} |"


def leaderboard(results: Iterable[Mapping[str, Any]]) -> str:
    """Return the page, the highest accuracy first."""
    of_command: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for result in results:
        of_command.setdefault((_without_seed(result["command"]), result["device"]), []).append(result)
    best_first = sorted(of_command.values(), key=lambda runs: -mean(run["test/acc"] for run in runs))
    return HEADER + "\n".join(row(runs) for runs in best_first) + "\n"


def _without_seed(command: str) -> str:
    return " ".join(word for word in command.split() if not word.startswith("seed="))


def main(arguments: list[str]) -> int:
    """Run the subcommand, then write the table; return the exit status."""
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

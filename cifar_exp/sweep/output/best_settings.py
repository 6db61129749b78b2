"""What a sweep found besides the model: files with which `train --config-dir DIR/best model=best` uses it again."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from cifar_exp.config.location import conf_dir
from cifar_exp.files import write_text

EXPERIMENT = "experiment/best.yaml"
NONE, CHOSEN = "- experiment: null", "- experiment: best"


def write_best_settings(directory: Path, params: Mapping[str, Any]) -> None:
    """Write the swept settings that are not of the model as an experiment, which `directory`'s train.yaml chooses.

    Args:
        directory: `best` in the sweep's directory.
        params: each swept key of the winner with its value.
    """
    settings = {key: value for key, value in params.items() if key.split(".")[0] != "model"}
    if not settings:
        return
    groups = {key: value for key, value in settings.items() if (conf_dir() / key.replace(".", "/")).is_dir()}
    document: dict[str, Any] = {"defaults": [{f"override /{key}": value} for key, value in groups.items()]}
    for key, value in settings.items():
        if key not in groups:
            *above, last = key.split(".")
            node = document
            for part in above:
                node = node.setdefault(part, {})
            node[last] = value
    header = "# @package _global_\n# What the sweep's best trial was trained with besides its model.\n"
    write_text(directory / EXPERIMENT, header + yaml.safe_dump(document, sort_keys=False))
    root = (conf_dir() / "train.yaml").read_text(encoding="utf-8")
    write_text(directory / "train.yaml", root.replace(NONE, CHOSEN, 1))

"""What a sweep found besides the model: files with which `train --config-dir DIR/best model=best` uses it again."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from cifar_exp.config.location import conf_dir, users_conf_dir
from cifar_exp.config.overrides import parse_overrides
from cifar_exp.files import write_text

EXPERIMENT = "experiment/best.yaml"
NONE, CHOSEN = "- experiment: null", "- experiment: best"
LEFT_OUT = ("model", "budget", "logger", "name", "resume")  # the model has its own file, the others change no result
NOT_COPIED = ("model", "sweep", "hydra")  # groups
OF_TRIALS = ("data", "trainer")  # what is fixed of them makes trials short, or is where the images are


def write_best_settings(
    directory: Path, overrides: Sequence[str], swept: Collection[str], model: Mapping[str, Any]
) -> None:
    """Write the settings of the winner besides its model as an experiment, which `directory`'s train.yaml chooses.

    Args:
        directory: `best` in the sweep's directory.
        overrides: of the winner's trial, swept and fixed ones. Fixed ones of `data` and `trainer` are left out: the
            winner is trained again on images, and for as many epochs, as the user chooses then.
        swept: the keys that were swept.
        model: the winner's.
    """
    given = {one.key_or_group: one for one in parse_overrides(overrides) if not one.is_delete()}
    settings = {
        key: one.value()
        for key, one in given.items()
        if (top := key.split(".")[0]) not in LEFT_OUT and (key in swept or top not in OF_TRIALS)
    }
    groups = {key: settings.pop(key) for key in list(settings) if _is_option(key, settings[key])}
    experiment = groups.pop("experiment", None)
    document: dict[str, Any] = {"defaults": [{f"override /{key}": option} for key, option in groups.items()]}
    if experiment is not None:
        document = {"defaults": [experiment, *document["defaults"]], "model": dict(model)}  # it may set keys of a model
    for key, value in settings.items():
        *above, last = key.split(".")
        node = document
        for part in above:
            node = node.setdefault(part, {})
        node[last] = value
    _copy_users_own(directory)
    header = "# @package _global_\n# What the sweep's best trial was trained with besides its model.\n"
    write_text(directory / EXPERIMENT, header + yaml.safe_dump(document, sort_keys=False))
    root = (conf_dir() / "train.yaml").read_text(encoding="utf-8")
    write_text(directory / "train.yaml", root.replace(NONE, CHOSEN, 1))


def _is_option(key: str, value: Any) -> bool:
    """Return whether an override chooses an option of a group, rather than setting values."""
    return (conf_dir() / key).is_dir() and not isinstance(value, Mapping)


def _copy_users_own(directory: Path) -> None:
    """Copy the options that are not shipped, to which the chosen ones may refer: `directory` has all that it needs."""
    own = users_conf_dir()
    if own is None:
        return
    for group in sorted(conf_dir().iterdir()):
        if group.is_dir() and group.name not in NOT_COPIED:
            for file in (own / group.name).glob("*.yaml"):
                write_text(directory / group.name / file.name, file.read_text(encoding="utf-8"))

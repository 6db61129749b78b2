"""`train resume=DIR`: the config is the one that the run's directory contains, and the directory is its own."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf, open_dict

from cifar_exp.config.compose import Composer
from cifar_exp.config.messages import listing, shown
from cifar_exp.config.overrides import parse_overrides, written
from cifar_exp.errors import UserError
from cifar_exp.files import expanded
from cifar_exp.runs.directory import RunDir
from cifar_exp.runs.saved import FREE, load_config, saved_hydra


def resumed_directory(given: Sequence[Override]) -> Path | None:
    """Return the directory that a `resume=DIR` among the overrides names; `resume=auto` is for the run's own."""
    values = [one.value() for one in given if one.key_or_group == "resume"]
    return expanded(str(values[-1])) if values and values[-1] not in (None, "auto") else None


def resumed(composer: Composer, given: Sequence[Override]) -> DictConfig | None:
    """Return the config of the run that `resume=DIR` continues, None where there is no such override.

    Raises UserError where other overrides contradict the run's own config. Those that do not change its figures apply:
    where its images and its teacher are now, and how it is shown.
    """
    directory = resumed_directory(given)
    if directory is None:
        return None
    saved = OmegaConf.create(load_config(RunDir(directory)).model_dump(mode="json", exclude={"resume"}))
    others = [one for one in given if one.key_or_group != "resume"]
    free = [one for one in others if _is_free(one)]
    own = parse_overrides([f"hydra.run.dir={written(str(directory))}", "hydra.output_subdir=null"])
    cfg = composer.compose([*free, *own])
    choices = saved_hydra(RunDir(directory).hydra).choices
    errors = [text for one in others if not _is_free(one) for text in _contradiction(one, saved, choices, directory)]
    if errors:
        raise UserError(listing(errors))
    return _with_saved(cfg, saved, [one.key_or_group for one in free if not one.is_hydra_override()], directory)


def _is_free(override: Override) -> bool:
    key = override.key_or_group
    return key.split(".")[0] in FREE or key in FREE or (override.is_hydra_override() and key != "hydra.run.dir")


def _contradiction(override: Override, saved: DictConfig, choices: Mapping[str, Any], directory: Path) -> list[str]:
    key, value = override.key_or_group, override.value()
    if key == "hydra.run.dir":
        same = Path(str(value)).absolute() == directory.absolute()
        return [] if same else [f"{override.input_line}: resume={directory} continues in its own directory."]
    is_group = key in choices and not isinstance(value, dict)
    kept = choices[key] if is_group else OmegaConf.select(saved, key)
    kept = OmegaConf.to_container(kept) if OmegaConf.is_config(kept) else kept
    if not override.is_delete() and kept == value:
        return []
    return [f"{override.input_line}: the run to resume has {key}={shown(kept)}; leave it out."]


def _with_saved(cfg: DictConfig, saved: DictConfig, free: Sequence[str], directory: Path) -> DictConfig:
    """Return Hydra's node and the free keys of `cfg`, and for the rest `saved`."""
    values = {key: OmegaConf.select(cfg, key) for key in free}
    with open_dict(cfg):
        for key in [key for key in cfg if key != "hydra"]:
            del cfg[key]
        cfg.merge_with(saved)
        for key, value in {**values, "resume": str(directory)}.items():
            OmegaConf.update(cfg, key, value, force_add=True)
    return cfg

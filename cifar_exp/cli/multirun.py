"""The combinations of a plain `-m`, each composed and checked before the first job starts."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from cifar_exp.checks import CHECKS
from cifar_exp.cli.jobs import set_hydra
from cifar_exp.cli.run_directory import check_is_free, chosen_directory, referenced
from cifar_exp.config.compose import Composer
from cifar_exp.config.devices import check_single_device
from cifar_exp.errors import UserError
from cifar_exp.runs.directory import RunDir
from cifar_exp.training.train import check_directory

Job = tuple[DictConfig, Any]  # its config, and what the command's check makes of it


def combinations(composer: Composer, given: Sequence[str], master: DictConfig) -> list[Job] | None:
    """Return the checked jobs of Hydra's basic sweeper; None for a sweeper that draws its own.

    Args:
        composer: of the command.
        given: the overrides of the command line.
        master: the config that they make without the swept values.

    Raises:
        UserError: the first combination at fault, or two jobs that would share a directory.
    """
    if not str(master.hydra.sweeper.get("_target_")).endswith("BasicSweeper"):
        return None
    params = [f"{key}={value}" for key, value in (master.hydra.sweeper.params or {}).items()]
    parsed = OverridesParser.create(config_loader=composer.loader).parse_overrides([*params, *given])
    shared = [str(one.input_line) for one in parsed if one.is_hydra_override()]
    overrides = {one.get_key_element(): one for one in parsed if not one.is_hydra_override()}  # the last one counts
    values = {key: _values(one) for key, one in overrides.items()}
    jobs: list[Job] = []
    for number, job in enumerate(product(*values.values())):
        try:
            jobs.append(_checked(composer, [*shared, *job], master, number))
        except UserError as error:
            chosen = " ".join(
                one.lstrip("+")
                for one, override in zip(job, overrides.values(), strict=True)
                if override.is_sweep_override()
            )
            raise UserError(f"Job {number} ({chosen}): {error}" if chosen else str(error)) from None
    if composer.command == "train":
        _check_apart([cfg for cfg, _ in jobs])
    return jobs


def _values(override: Override) -> list[str]:
    """Return the override for each of its values."""
    line = str(override.input_line)
    if not override.is_sweep_override():
        return [line]
    if override.is_interval_sweep():
        raise UserError(f"{line}: an interval needs a sweeper that draws from it; add sweep=NAME.")
    values = [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]
    if not values:
        raise UserError(f"{line}: no value to sweep over.")
    return values


def _checked(composer: Composer, overrides: Sequence[str], master: DictConfig, number: int) -> Job:
    cfg = composer.compose(overrides)
    set_hydra(cfg, {"sweep.dir": master.hydra.sweep.dir, "job.num": number, "job.id": str(number)})
    HydraConfig.instance().set_config(cfg)
    if composer.command == "train":
        check_single_device(OmegaConf.select(cfg, "trainer.devices"))
    checked = CHECKS[composer.command](cfg)
    if composer.command == "train" and cfg.resume != "auto":
        check_is_free(_directory(cfg))
    elif composer.command == "train":
        check_directory(RunDir(_directory(cfg)), checked.config, resume=True)
    return cfg, checked


def _directory(cfg: DictConfig) -> Path:
    return chosen_directory(cfg, "hydra.sweep.dir") / referenced(cfg, "hydra.sweep.subdir")


def _check_apart(jobs: Sequence[DictConfig]) -> None:
    """Raise UserError where two jobs would train in the same directory."""
    taken: dict[Path, int] = {}
    for number, cfg in enumerate(jobs):
        other = taken.setdefault(_directory(cfg), number)
        if other != number:
            raise UserError(
                f"hydra.sweep.subdir: jobs {other} and {number} would share the directory '{cfg.hydra.sweep.subdir}'.\n"
                "Name what differs in it, or leave it out."
            )

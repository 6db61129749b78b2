"""The combinations of a plain `-m`, each composed and checked before the first job starts."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from cifar_exp.checks import CHECKS
from cifar_exp.cli.jobs import Job, set_hydra
from cifar_exp.cli.run_directory import chosen_directory, referenced
from cifar_exp.config.compose import Composer
from cifar_exp.config.devices import check_single_device
from cifar_exp.config.overrides import lines, parse_overrides
from cifar_exp.errors import UserError
from cifar_exp.runs.directory import RunDir
from cifar_exp.training.train import check_directory


def is_plain(cfg: DictConfig) -> bool:
    """Return whether the sweeper of a config is Hydra's basic one, whose jobs are known before the first starts."""
    return str(cfg.hydra.sweeper.get("_target_")).endswith("BasicSweeper")


def combinations(composer: Composer, given: Sequence[Override], master: DictConfig) -> list[Job]:
    """Return the checked jobs of Hydra's basic sweeper.

    Args:
        composer: of the command.
        given: the overrides of the command line, without those of Hydra's own node.
        master: the config that they make without the swept values.

    Raises:
        UserError: the first combination at fault, or two jobs that would share a directory.
    """
    space = master.hydra.sweeper.params or {}
    params = parse_overrides((f"{key}={value}" for key, value in space.items()), composer.loader)
    latest = {one.get_key_element(): one for one in (*params, *given)}
    is_swept = [one.is_sweep_override() for one in latest.values()]
    jobs: list[Job] = []
    for number, overrides in enumerate(product(*(_values(one) for one in latest.values()))):
        try:
            jobs.append(_checked(composer, overrides, master, number))
        except UserError as error:
            swept = [one for one, varies in zip(overrides, is_swept, strict=True) if varies]
            chosen = " ".join(line.lstrip("+") for line in lines(swept))
            raise UserError(f"Job {number} ({chosen}): {error}" if chosen else str(error)) from None
    if composer.command == "train":
        _check_apart([job.config for job in jobs])
    return jobs


def _values(override: Override) -> list[Override]:
    """Return the override for each of its values."""
    line = str(override.input_line)
    if not override.is_sweep_override():
        return [override]
    if override.is_interval_sweep():
        raise UserError(f"{line}: an interval needs a sweeper that draws from it; add sweep=NAME.")
    values = [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]
    if not values:
        raise UserError(f"{line}: no value to sweep over.")
    return parse_overrides(values)


def _checked(composer: Composer, overrides: Sequence[Override], master: DictConfig, number: int) -> Job:
    cfg = composer.compose(overrides, master=master)
    set_hydra(cfg, {"job.num": number, "job.id": str(number)})
    HydraConfig.instance().set_config(cfg)
    if composer.command == "train":
        check_single_device(OmegaConf.select(cfg, "trainer.devices"))
    checked = CHECKS[composer.command](cfg)
    if composer.command == "train":
        check_directory(RunDir(_directory(cfg)), checked.config, resume=cfg.resume == "auto")
    return Job(number, tuple(lines(overrides)), cfg, checked)


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

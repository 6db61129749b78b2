"""The combinations of a plain `-m`, each composed and checked before the first job starts."""

from collections.abc import Callable, Sequence
from pathlib import Path

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, open_dict

from cifar_exp.cli.compose import Composer
from cifar_exp.cli.run_directory import check_is_free, chosen_directory
from cifar_exp.errors import UserError

Check = Callable[[str, DictConfig], None]


def combinations(composer: Composer, given: Sequence[str], master: DictConfig, check: Check) -> list[DictConfig] | None:
    """The checked config of each job of Hydra's basic sweeper; None for a sweeper that draws its own.

    Raises UserError, naming the combination, for the first that is at fault.
    """
    if not str(master.hydra.sweeper.get("_target_")).endswith("BasicSweeper"):
        return None
    params = [f"{key}={value}" for key, value in (master.hydra.sweeper.params or {}).items()]
    parser = OverridesParser.create(config_loader=composer.hydra.config_loader)
    overrides = parser.parse_overrides([*params, *(one for one in given if not _is_hydras(one))])
    drawn = [override.input_line for override in overrides if override.is_interval_sweep()]
    if drawn:
        raise UserError(f"{drawn[0]}: an interval needs a sweeper that draws from it; add sweep=NAME.")
    sweeping = [override for override in overrides if override.is_sweep_override()]
    empty = [override.input_line for override in sweeping if not list(override.sweep_string_iterator())]
    if empty:
        raise UserError(f"{empty[0]}: no value to sweep over.")
    swept = {override.get_key_element() for override in sweeping}
    jobs: list[DictConfig] = []
    for number, job in enumerate(BasicSweeper.split_arguments(overrides, None)[0]):
        try:
            jobs.append(_checked(composer, master, job, number, check))
        except UserError as error:
            chosen = " ".join(one.lstrip("+") for one in job if one.split("=")[0] in swept)
            raise UserError(f"Job {number} ({chosen}): {error}" if chosen else str(error)) from None
    if composer.command == "train":
        _check_apart(jobs)
    return jobs


def _check_apart(jobs: Sequence[DictConfig]) -> None:
    """Raises UserError where two jobs would train in the same directory."""
    taken: dict[str, int] = {}
    for number, cfg in enumerate(jobs):
        other = taken.setdefault(str(cfg.hydra.sweep.subdir), number)
        if other != number:
            raise UserError(
                f"hydra.sweep.subdir: jobs {other} and {number} would share the directory '{cfg.hydra.sweep.subdir}'.\n"
                "Name what differs in it, or leave it out."
            )


def _checked(composer: Composer, master: DictConfig, job: list[str], number: int, check: Check) -> DictConfig:
    cfg = composer.compose([*master.hydra.overrides.hydra, *job])
    with open_dict(cfg):
        cfg.hydra.sweep.dir = str(chosen_directory(master, "hydra.sweep.dir"))
        cfg.hydra.job.num = number
        cfg.hydra.job.id = str(number)
    check(composer.command, cfg)
    if composer.command == "train":
        check_is_free(Path(cfg.hydra.sweep.dir) / chosen_directory(cfg, "hydra.sweep.subdir"))
    return cfg


def _is_hydras(override: str) -> bool:
    return override.lstrip("+~").startswith(("hydra.", "hydra/"))

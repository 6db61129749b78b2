"""The combinations of a plain `-m`, each composed and checked before the first job starts."""

import os
from collections.abc import Sequence
from functools import partial
from itertools import product
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from cifar_exp.checks import CHECKS, check_train
from cifar_exp.cli.jobs import Job
from cifar_exp.cli.run_directory import chosen_directory, referenced
from cifar_exp.config.compose import Composer
from cifar_exp.config.jobs import JobLoader, set_hydra
from cifar_exp.config.messages import ConfigError
from cifar_exp.config.overrides import lines, parse_overrides
from cifar_exp.errors import UserError
from cifar_exp.runs.directory import RunDir
from cifar_exp.runs.new_directory import missing
from cifar_exp.training.train import check_directory


def is_plain(cfg: DictConfig) -> bool:
    """Return whether the sweeper of a config is Hydra's basic one, whose jobs are known before the first starts."""
    return str(cfg.hydra.sweeper.get("_target_")).endswith("BasicSweeper")


def combinations(composer: Composer, given: Sequence[Override], master: DictConfig, loader: JobLoader) -> list[Job]:
    """Return the checked jobs of Hydra's basic sweeper.

    Args:
        composer: of the command.
        given: the overrides of the command line, without those of Hydra's own node.
        master: the config that they make without the swept values.
        loader: of the jobs.

    Raises:
        UserError: every error of every combination, or two jobs that would share a directory.
    """
    space = master.hydra.sweeper.params or {}
    params = parse_overrides((f"{key}={value}" for key, value in space.items()), composer.loader)
    latest = {one.get_key_element(): one for one in (*params, *given)}
    is_swept = [one.is_sweep_override() for one in latest.values()]
    products = list(product(*(_values(one) for one in latest.values())))
    jobs: list[Job] = []
    faulty: dict[str, list[str]] = {}  # the jobs that have an error, by its text
    for number, overrides in enumerate(products):
        try:
            cfg = composer.compose(overrides, load=partial(loader.composed, master))
            jobs.append(_checked(composer.command, cfg, lines(overrides), number))
        except UserError as error:
            swept = [one for one, varies in zip(overrides, is_swept, strict=True) if varies]
            chosen = " ".join(line.lstrip("+") for line in lines(swept))
            for text in dict.fromkeys(error.errors if isinstance(error, ConfigError) else [str(error)]):
                faulty.setdefault(text, []).append(f"Job {number} ({chosen})")
    if faulty:
        raise ConfigError([_of_jobs(text, names, len(products)) for text, names in faulty.items()])
    if composer.command == "train":
        _check_apart(jobs)
    return jobs


def _of_jobs(error: str, jobs: Sequence[str], count: int) -> str:
    """Return an error with the first of the jobs that have it; by itself where all of `count` jobs have."""
    if len(jobs) == count:
        return error
    more = f" and {len(jobs) - 1} more" if len(jobs) > 1 else ""
    return f"{jobs[0]}{more}: {error}"


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


def _checked(command: str, cfg: DictConfig, overrides: list[str], number: int) -> Job:
    set_hydra(cfg, {"job.num": number, "job.id": str(number)})
    HydraConfig.instance().set_config(cfg)
    if command != "train":
        return Job(overrides, cfg, CHECKS[command](cfg), chosen_directory(cfg, "hydra.run.dir"), [])
    checked = check_train(cfg, of_several=True)
    directory = Path(os.path.abspath(chosen_directory(cfg, "hydra.sweep.dir") / referenced(cfg, "hydra.sweep.subdir")))
    is_finished = check_directory(RunDir(directory), checked.config, resume=cfg.resume == "auto")
    return Job(overrides, cfg, None if is_finished else checked, directory, missing(directory))


def _check_apart(jobs: Sequence[Job]) -> None:
    """Raise UserError where two jobs would train in the same directory, or one in that of all."""
    taken: dict[Path, int] = {}
    for number, job in enumerate(jobs):
        if job.directory == Path(job.config.hydra.sweep.dir):
            raise UserError(f"hydra.sweep.subdir={job.config.hydra.sweep.subdir}: expected a directory for each job.")
        other = taken.setdefault(job.directory, number)
        if other != number:
            raise UserError(
                f"hydra.sweep.subdir: jobs {other} and {number} would share the directory "
                f"'{job.config.hydra.sweep.subdir}'.\nName what differs in it, or leave it out."
            )

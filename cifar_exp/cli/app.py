"""Runs one command as a Hydra application.

The config is composed and checked before any directory is made. A user error, found before or during the job, is one
message on stderr and exit status 2; any other exception keeps its traceback.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from cifar_exp.checks import CHECKS, SCHEMAS
from cifar_exp.cli.arguments import parse_arguments
from cifar_exp.cli.display import show_config, show_hydras_own
from cifar_exp.cli.help import command_help
from cifar_exp.cli.jobs import Prepared, run_jobs, run_one, run_sweeper, set_hydra
from cifar_exp.cli.multirun import combinations, is_plain
from cifar_exp.cli.resume import resumed, resumed_directory
from cifar_exp.cli.run_directory import (
    chosen_directory,
    is_named_by_clock,
    show_finished,
    used,
)
from cifar_exp.cli.sweep_file import expand_sweep
from cifar_exp.cli.tables import note
from cifar_exp.cli.task import Task
from cifar_exp.config.compose import Composer, hydra_session
from cifar_exp.config.devices import check_single_device, trains_alone
from cifar_exp.config.location import users_configs
from cifar_exp.config.messages import listing
from cifar_exp.config.overrides import lines, parse_overrides, written
from cifar_exp.errors import RunFailedError, UserError
from cifar_exp.plots.figure import without_window
from cifar_exp.process import alone, has_rank, is_first_process
from cifar_exp.runs.directory import RunDir
from cifar_exp.runs.new_directory import check_is_writable, resume_override
from cifar_exp.training.train import check_directory

DEVICES = "trainer.devices"


def run(command: str, arguments: Sequence[str]) -> int:
    """Run `cifar-exp COMMAND ARGUMENTS…` and return its exit status."""
    without_window()
    try:
        return _run(command, parse_arguments(arguments))
    except UserError as error:
        note(listing([str(error)]))
        return 2
    except RunFailedError as error:
        note(f"The run failed: {error}.")
        return 1


def _run(command: str, args: argparse.Namespace) -> int:
    with hydra_session(command, args.config_dir, args.config_path):
        composer = Composer(command, SCHEMAS[command], args.config_name)
        multirun = args.multirun or "hydra.mode=MULTIRUN" in args.overrides
        overrides = expand_sweep(parse_overrides(args.overrides, composer.loader), composer, command, multirun)
        if args.help:
            print(command_help(composer, composer.compose(overrides, multirun), command))
            return 0
        if args.cfg:
            shown = [one for one in overrides if not (multirun and one.is_sweep_override())]
            cfg = composer.compose(shown)
            show_config(cfg, args.cfg, args.package, args.resolve)
            return 0
        if not (args.info or args.hydra_help or args.version or args.shell_completion):
            (_run_several if multirun else _run_one)(composer, overrides)
            return 0
        if args.info:
            composer.compose(overrides, multirun)
        used = composer.used(overrides) if args.info else lines(overrides)
    flags = {"--hydra-help": args.hydra_help, "--version": args.version, "-sc": args.shell_completion}
    chosen = [flag for flag, given in flags.items() if given] or [f"--info={args.info}"]
    with users_configs(args.config_dir):
        return show_hydras_own(composer.config_name, chosen, used)


def _run_one(composer: Composer, overrides: Sequence[Override]) -> None:
    if composer.command == "train":
        _train_one(composer, overrides)
        return
    cfg = composer.compose(overrides)
    set_hydra(cfg, {"job.chdir": False})  # only a run has a directory of its own
    directory = _configure(cfg, "hydra.run.dir")
    checked = CHECKS[composer.command](cfg)
    with used(directory) as directory:
        run_one(cfg, Task(composer.command, checked), directory)


def _train_one(composer: Composer, overrides: Sequence[Override]) -> None:
    cfg = resumed(composer, overrides)
    if cfg is None:
        cfg = composer.compose(overrides)
    by_clock = is_named_by_clock(cfg, "run", overrides)
    directory = _configure(cfg, "hydra.run.dir")
    checked = CHECKS["train"](cfg)
    with alone(has_rank() and trains_alone(checked.config.trainer)):
        if not by_clock and check_directory(RunDir(directory), checked.config, resume=cfg.resume is not None):
            show_finished(RunDir(directory))
            return
        _train_in(directory, cfg, Task("train", checked), is_default=by_clock and is_first_process())


def _train_in(directory: Path, cfg: DictConfig, task: Task, is_default: bool) -> None:
    try:
        with used(directory, is_alone=True, is_default=is_default) as directory:
            run_one(cfg, task, directory)
    except KeyboardInterrupt:
        resumable = is_first_process() and RunDir(directory).last.is_file()
        hint = f" Continue it with: cifar-exp train {resume_override(directory)}" if resumable else ""
        raise KeyboardInterrupt(hint) from None


def _configure(cfg: DictConfig, key: str) -> Path:
    """Put the config in use, its directory absolute; return the directory."""
    set_hydra(cfg, {"output_subdir": None})  # the run's config is written once it is known to be new
    HydraConfig.instance().set_config(cfg)
    directory = chosen_directory(cfg, key)
    set_hydra(cfg, {key.removeprefix("hydra."): str(directory), "runtime.output_dir": str(directory)})
    return directory


def _run_several(composer: Composer, overrides: Sequence[Override]) -> None:
    """Check every combination of a plain sweep, or leave the candidates to the sweeper that draws them; run them."""
    cfg = composer.compose(overrides, multirun=True)
    if resumed_directory(overrides) is not None:
        raise UserError("resume=DIR continues one run; leave out -m, or continue all jobs with resume=auto.")
    given = [one for one in overrides if not one.is_hydra_override()]
    if composer.command != "train":
        for job in combinations(composer, given, cfg) if is_plain(cfg) else ():
            run_one(job.config, Task(composer.command, job.checked), chosen_directory(job.config, "hydra.run.dir"))
        return
    devices = OmegaConf.select(cfg, DEVICES)
    check_single_device(devices)
    if devices == "auto":
        others = [one for one in given if one.key_or_group != DEVICES or one.is_sweep_override()]
        given = [*parse_overrides([f"{DEVICES}=1"]), *others]
    by_clock = is_named_by_clock(cfg, "sweep", overrides)
    directory = _configure(cfg, "hydra.sweep.dir")
    check_is_writable(directory)
    kept = tuple(str(path) for path in directory.glob("*"))
    is_alone = is_plain(cfg)  # a sweep's study may be several processes'
    with alone(has_rank()), used(directory, has_jobs=True, is_alone=is_alone, is_default=by_clock) as directory:
        known = [f"hydra.sweep.dir={written(str(directory))}", "hydra.output_subdir=null"]
        hydras = [*lines(one for one in overrides if one.is_hydra_override()), "hydra.mode=MULTIRUN", *known]
        set_hydra(cfg, {"sweep.dir": str(directory), "overrides.hydra": hydras, "overrides.task": lines(given)})
        if not is_alone:
            return run_sweeper(cfg, Task("train"), lines(given))
        jobs = combinations(composer, given, cfg)
        prepared = Prepared(jobs)
        run_jobs(cfg, Task("train", prepared=prepared, keep=kept), jobs, prepared)

"""Runs one command as a Hydra application.

The config is composed and checked before any directory is made. A user error, found before or during the job, is one
message on stderr and exit status 2; any other exception keeps its traceback.
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from cifar_exp.checks import CHECKS, SCHEMAS
from cifar_exp.cli.arguments import parse_arguments
from cifar_exp.cli.commands.train import show_finished
from cifar_exp.cli.display import show_config, show_hydras_own
from cifar_exp.cli.help import command_help
from cifar_exp.cli.jobs import run_one, run_several, set_hydra
from cifar_exp.cli.multirun import combinations
from cifar_exp.cli.resume import resumed, resumed_directory
from cifar_exp.cli.run_directory import (
    check_is_free,
    check_is_writable,
    chosen_directory,
    is_named_by_clock,
    resume_override,
    undone_on_error,
)
from cifar_exp.cli.sweep_file import expand_sweep
from cifar_exp.cli.task import Task
from cifar_exp.config.compose import Composer, hydra_session
from cifar_exp.config.devices import check_single_device
from cifar_exp.config.location import users_configs
from cifar_exp.config.messages import listing
from cifar_exp.config.overrides import without_sweeps, written
from cifar_exp.errors import RunFailedError, UserError
from cifar_exp.process import is_first_process
from cifar_exp.runs.directory import RunDir
from cifar_exp.runs.in_use import in_use
from cifar_exp.training.train import check_directory


def run(command: str, arguments: Sequence[str]) -> int:
    """Run `cifar-exp COMMAND ARGUMENTS…` and return its exit status."""
    try:
        return _run(command, parse_arguments(arguments))
    except UserError as error:
        print(listing([str(error)]), file=sys.stderr)
        return 2
    except RunFailedError as error:
        print(f"The run failed: {error}.", file=sys.stderr)
        return 1


def _run(command: str, args: argparse.Namespace) -> int:
    with hydra_session(command, args.config_dir, args.config_path):
        composer = Composer(command, SCHEMAS[command], args.config_name)
        multirun = args.multirun or "hydra.mode=MULTIRUN" in args.overrides
        overrides = expand_sweep(args.overrides, composer, command, multirun)
        if args.help:
            print(command_help(composer, composer.compose(overrides, multirun), command))
            return 0
        if args.cfg:
            cfg = composer.compose(without_sweeps(overrides) if multirun else overrides)
            show_config(cfg, args.cfg, args.package, args.resolve)
            return 0
        if not (args.info or args.hydra_help or args.version or args.shell_completion):
            (_run_several if multirun else _run_one)(composer, overrides)
            return 0
        if args.info:
            overrides = composer.used(composer.compose(overrides, multirun))
    flags = {"--hydra-help": args.hydra_help, "--version": args.version, "-sc": args.shell_completion}
    chosen = [flag for flag, given in flags.items() if given] or [f"--info={args.info}"]
    with users_configs(args.config_dir):
        return show_hydras_own(composer.config_name, chosen, overrides)


def _run_one(composer: Composer, overrides: Sequence[str]) -> None:
    trains = composer.command == "train"
    cfg = resumed(composer, overrides) if trains else None
    is_new = cfg is None
    if cfg is None:
        cfg = composer.compose(overrides)
    by_clock = trains and is_named_by_clock(cfg, "run", overrides)
    if not trains:
        set_hydra(cfg, {"job.chdir": False})  # only a run has a directory of its own
    directory = _settle(cfg, "hydra.run.dir")
    checked = CHECKS[composer.command](cfg)
    if trains and is_new and cfg.resume != "auto" and not by_clock:
        check_is_free(directory)
    if trains and cfg.resume is not None and check_directory(RunDir(directory), checked.config, resume=True):
        show_finished(RunDir(directory))
        return
    try:
        with undone_on_error(directory, is_alone=trains, is_default=by_clock) as directory:
            run_one(cfg, Task(composer.command, checked), directory)
    except KeyboardInterrupt:
        resumable = is_first_process() and (directory / "checkpoints" / "last.ckpt").is_file()
        hint = f" Continue it with: cifar-exp train {resume_override(directory)}" if resumable else ""
        raise KeyboardInterrupt(hint) from None


def _settle(cfg: DictConfig, key: str) -> Path:
    """Put the config in use, its directory absolute; return the directory."""
    set_hydra(cfg, {"output_subdir": None})  # the run's config is written once it is known to be new
    HydraConfig.instance().set_config(cfg)
    directory = chosen_directory(cfg, key)
    set_hydra(cfg, {key.removeprefix("hydra."): str(directory), "runtime.output_dir": str(directory)})
    return directory


def _run_several(composer: Composer, overrides: Sequence[str]) -> None:
    """Check every combination of a plain sweep, or leave the candidates to the sweeper that draws them; run them."""
    cfg = composer.compose(overrides, multirun=True)
    if resumed_directory(overrides) is not None:
        raise UserError("resume=DIR continues one run; leave out -m, or continue all jobs with resume=auto.")
    if composer.command != "train":
        for job, checked in combinations(composer, overrides, cfg) or []:
            run_one(job, Task(composer.command, checked), chosen_directory(job, "hydra.run.dir"))
        return
    devices = OmegaConf.select(cfg, "trainer.devices")
    check_single_device(devices)
    jobs = OmegaConf.to_container(cfg.hydra.overrides.task, resolve=False)
    assert isinstance(jobs, list)
    if devices == "auto":
        jobs = ["trainer.devices=1", *(one for one in jobs if one != "trainer.devices=auto")]
    by_clock = is_named_by_clock(cfg, "sweep", overrides)
    directory = _settle(cfg, "hydra.sweep.dir")
    check_is_writable(directory)
    is_plain = combinations(composer, overrides, cfg) is not None
    kept = tuple(str(path) for path in directory.glob("*")) if is_plain else None
    with undone_on_error(directory, unless_trained=True, is_default=by_clock) as directory:
        hydras = OmegaConf.to_container(cfg.hydra.overrides.hydra, resolve=False)
        assert isinstance(hydras, list)
        known = [f"hydra.sweep.dir={written(str(directory))}", "hydra.output_subdir=null"]
        set_hydra(cfg, {"sweep.dir": str(directory), "overrides.hydra": [*hydras, *known], "overrides.task": jobs})
        with in_use(RunDir(directory)) if is_plain else nullcontext():
            run_several(cfg, Task("train", keep=kept), jobs)

"""Runs one command as a Hydra application.

The config is composed and checked before any directory is made. A user error, found before or during the job, is one
message on stderr and exit status 2; any other exception keeps its traceback.
"""

import argparse
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override
from hydra.types import TaskFunction
from omegaconf import DictConfig

from cifar_exp.checks import CHECKS, check_train
from cifar_exp.checks import composer as composer_of
from cifar_exp.cli.arguments import parse_arguments
from cifar_exp.cli.commands.train import show_run, trial_callbacks
from cifar_exp.cli.display import show_config, show_hydras_own
from cifar_exp.cli.help import command_help
from cifar_exp.cli.jobs import run_jobs, run_one, run_sweeper
from cifar_exp.cli.multirun import combinations, is_plain
from cifar_exp.cli.resume import resumed, resumed_directory
from cifar_exp.cli.run_directory import check_for_several, chosen_directory, is_named_by_clock, resumable, used
from cifar_exp.cli.sweep_file import expand_sweep
from cifar_exp.cli.tables import note
from cifar_exp.config.compose import Composer, hydra_session
from cifar_exp.config.jobs import JobLoader, set_hydra
from cifar_exp.config.location import users_configs
from cifar_exp.config.messages import listing
from cifar_exp.config.overrides import lines, parse_overrides, written
from cifar_exp.errors import RunFailedError, UserError
from cifar_exp.plots.figure import without_window
from cifar_exp.process import alone, has_rank, is_first_process
from cifar_exp.runs.directory import RunDir
from cifar_exp.runs.new_directory import has_trained, resume_override
from cifar_exp.training.task import Checked, TrainTask
from cifar_exp.training.train import check_directory, one_process


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
        composer = composer_of(command, args.config_name)
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
    with used(directory):
        run_one(cfg, _main_of(composer.command, checked), directory)


def _main_of(command: str, checked: Any) -> TaskFunction:
    """Return what runs a command, other than `train`, on its checked config."""
    main = import_module(f"cifar_exp.cli.commands.{command}").main
    return lambda _: main(checked)


def _train_one(composer: Composer, overrides: Sequence[Override]) -> None:
    cfg = resumed(composer, overrides)
    if cfg is None:
        cfg = composer.compose(overrides)
    by_clock = is_named_by_clock(cfg, "run", overrides)
    directory = _configure(cfg, "hydra.run.dir")
    checked = check_train(cfg)
    with one_process(checked.config):
        run = RunDir(directory)
        if not by_clock and check_directory(run, checked.config, resume=cfg.resume is not None):
            show_run(run, run.read_result(), was_finished=True)
            return

        def hint() -> str:
            is_resumable = is_first_process() and has_trained(directory)
            return f" Continue it with: cifar-exp train {resume_override(directory)}" if is_resumable else ""

        with resumable(hint), used(directory, is_alone=True, is_default=by_clock and is_first_process()) as directory:
            run_one(cfg, TrainTask(show_run, trial_callbacks, Checked({directory: checked})), directory)


def _configure(cfg: DictConfig, key: str) -> Path:
    """Put the config in use, its directory absolute; return the directory."""
    set_hydra(cfg, {"output_subdir": None})  # the run's config is written once it is known to be new
    HydraConfig.instance().set_config(cfg)
    directory = chosen_directory(cfg, key)
    set_hydra(cfg, {key.removeprefix("hydra."): str(directory), "runtime.output_dir": str(directory)})
    return directory


def _run_several(composer: Composer, overrides: Sequence[Override]) -> None:
    """Check every combination of a plain sweep, or leave the candidates to the sweeper that draws them; run them."""
    cfg, loader = composer.compose(overrides, multirun=True), JobLoader(composer.loader)
    if resumed_directory(overrides) is not None:
        raise UserError("resume=DIR continues one run; leave out -m, or continue all jobs with resume=auto.")
    given = [one for one in overrides if not one.is_hydra_override()]
    if composer.command == "train":
        _train_several(cfg, loader, composer, overrides, given)
        return
    for job in combinations(composer, given, cfg, loader):
        run_one(job.config, _main_of(composer.command, job.checked), job.directory)


def _train_several(
    cfg: DictConfig, loader: JobLoader, composer: Composer, overrides: Sequence[Override], given: Sequence[Override]
) -> None:
    is_alone = is_plain(cfg)  # a sweep's study may be several processes'
    by_clock = is_named_by_clock(cfg, "sweep", overrides)
    directory = _configure(cfg, "hydra.sweep.dir")
    if not by_clock:
        check_for_several(directory)
    before = set(directory.glob("[!.]*"))

    def has_new_job(directory: Path) -> bool:
        return any(path.is_dir() for path in set(directory.glob("[!.]*")) - before)

    hint = f" Continue it: the same command with {'resume=auto ' if is_alone else ''}hydra.sweep.dir="
    with (
        alone(has_rank()),
        resumable(lambda: f"{hint}{directory}"),
        used(directory, has_new_job, is_alone=is_alone, is_default=by_clock) as directory,
    ):
        known = ["hydra.mode=MULTIRUN", "hydra.output_subdir=null", f"hydra.sweep.dir={written(str(directory))}"]
        hydras = [*lines(one for one in overrides if one.is_hydra_override()), *known]
        set_hydra(cfg, {"sweep.dir": str(directory), "overrides.hydra": hydras, "overrides.task": lines(given)})
        if not is_alone:
            return run_sweeper(cfg, TrainTask(show_run, trial_callbacks), lines(given), loader)
        jobs = combinations(composer, given, cfg, loader)
        checked = Checked({job.directory: job.checked for job in jobs if job.checked is not None})
        run_jobs(cfg, TrainTask(show_run, trial_callbacks, checked), jobs, loader)

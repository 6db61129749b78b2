"""Runs one command as a Hydra application that speaks to its user.

Everything is composed and checked before Hydra makes a directory. A mistake by the user, found before or during
the job, is one message on stderr and exit status 2; any other exception keeps its traceback.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from hydra import version
from hydra._internal.callbacks import Callbacks
from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hydra._internal.hydra import Hydra
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.utils import JobStatus, configure_log, run_job
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, read_write
from omegaconf.errors import OmegaConfBaseException

from cifar_exp.checks import CHECKS
from cifar_exp.cli.compose import Composer
from cifar_exp.cli.help import command_help
from cifar_exp.cli.multirun import combinations
from cifar_exp.cli.resume import resumed, resumed_directory
from cifar_exp.cli.run_directory import (
    Task,
    check_is_free,
    check_is_writable,
    chosen_directory,
    undone_on_mistake,
)
from cifar_exp.cli.sweep_file import expand_sweep
from cifar_exp.config.devices import check_single_device
from cifar_exp.config.location import conf_dir
from cifar_exp.config.messages import listing
from cifar_exp.config.overrides import without_sweeps, written
from cifar_exp.config.parse import unresolved
from cifar_exp.errors import RunFailedError, UserError, did_you_mean
from cifar_exp.process import is_first_process


def run(command: str, arguments: Sequence[str]) -> int:
    """Runs `cifar-exp COMMAND ARGUMENTS…` and returns its exit status."""
    try:
        _run(command, _parse_arguments(arguments))
    except UserError as error:
        print(listing([str(error)]), file=sys.stderr)
        return 2
    except RunFailedError as error:
        print(f"The run failed: {error}.", file=sys.stderr)
        return 1
    return 0


def _parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = get_args_parser()
    flags = [flag for action in parser._actions for flag in action.option_strings]

    def refuse(message: str) -> NoReturn:
        unknown = message.removeprefix("unrecognized arguments: ").split()[0]
        hint = did_you_mean(unknown, flags) if message.startswith("unrecognized") else ""
        raise UserError(f"{message}.{hint}")

    parser.error = refuse  # type: ignore[method-assign]
    args = parser.parse_intermixed_args(list(arguments))
    if args.experimental_rerun is not None:
        raise UserError("--experimental-rerun: not here; `train resume=DIR` goes on with a run.")
    return args


def _run(command: str, args: argparse.Namespace) -> None:
    version.setbase("1.3")
    with _hydra(command, args) as hydra:
        composer = Composer(hydra, args.config_name or command, command)
        multirun = args.multirun or "hydra.mode=MULTIRUN" in args.overrides
        overrides = expand_sweep(args.overrides, composer, command, multirun)
        if args.help:
            print(command_help(composer, composer.compose(overrides, multirun), command))
        elif args.hydra_help:
            hydra.hydra_help(composer.config_name, get_args_parser(), args)
        elif args.shell_completion:
            hydra.shell_completion(composer.config_name, overrides)
        elif args.cfg or args.info:
            _show(composer, args, without_sweeps(overrides) if multirun else overrides)
        elif multirun:
            _run_several(composer, overrides)
        else:
            _run_one(composer, overrides)


@contextmanager
def _hydra(command: str, args: argparse.Namespace) -> Iterator[Hydra]:
    """Hydra on the shipped configs and before them, so that they win, those of `--config-dir`."""
    search_path = ConfigSearchPathImpl()
    search_path.append("hydra", "pkg://hydra.conf")
    if args.config_dir is not None:
        directory = Path(args.config_dir).absolute()
        if not directory.is_dir():
            raise UserError(f"--config-dir {args.config_dir}: no such directory.")
        search_path.append("command-line", f"file://{directory}")
    search_path.append("main", f"file://{Path(args.config_path or conf_dir()).absolute()}")
    search_path.append("schema", "structured://")
    GlobalHydra.instance().clear()
    Plugins.instance()
    try:
        yield Hydra.create_main_hydra2(task_name=command, config_search_path=search_path)
    finally:
        GlobalHydra.instance().clear()


def _show(composer: Composer, args: argparse.Namespace, overrides: Sequence[str]) -> None:
    """`--cfg` and `--info`: shows the config, which must compose but may still lack what a job needs."""
    composer.compose(overrides)
    opened = composer.opened(overrides)
    if args.info:
        composer.hydra.show_info(args.info, composer.config_name, opened)
        return
    try:
        composer.hydra.show_cfg(composer.config_name, opened, args.cfg, args.package, args.resolve)
    except OmegaConfBaseException as error:
        raise unresolved(error) from None


def _run_one(composer: Composer, overrides: Sequence[str]) -> None:
    cfg = resumed(composer, overrides) if composer.command == "train" else None
    is_new = cfg is None
    if cfg is None:
        cfg = composer.compose(overrides)
    _check(composer.command, cfg)
    directory, trains = chosen_directory(cfg, "hydra.run.dir"), composer.command == "train"
    if trains and is_new:
        check_is_free(directory)
    try:
        with undone_on_mistake(directory, is_alone=trains):
            _job(composer, cfg)
    except KeyboardInterrupt:
        resumable = is_first_process() and (directory / "checkpoints" / "last.ckpt").is_file()
        raise KeyboardInterrupt(f" Go on with it: cifar-exp train resume={directory}" if resumable else "") from None


def _check(command: str, cfg: DictConfig) -> None:
    HydraConfig.instance().set_config(cfg)
    CHECKS[command](cfg)


def _check_job(command: str, cfg: DictConfig) -> None:
    """A training that is one of several."""
    _check(command, cfg)
    check_single_device(cfg.trainer.devices)


def _job(composer: Composer, cfg: DictConfig) -> None:
    """What `Hydra.run` does once its config is composed."""
    configure_log(cfg.hydra.hydra_logging, cfg.hydra.verbose)
    if not is_first_process():
        with read_write(cfg.hydra):
            cfg.hydra.job_logging = cfg.hydra.hydra_logging  # the run's log is the first process's
    callbacks = Callbacks(cfg)
    callbacks.on_run_start(config=cfg, config_name=composer.config_name)
    done = run_job(
        hydra_context=HydraContext(config_loader=composer.hydra.config_loader, callbacks=callbacks),
        task_function=Task(composer.command),
        config=cfg,
        job_dir_key="hydra.run.dir",
        job_subdir_key=None,
    )
    callbacks.on_run_end(config=cfg, config_name=composer.config_name, job_return=done)
    if done.status == JobStatus.FAILED:
        raise done._return_value


def _run_several(composer: Composer, overrides: Sequence[str]) -> None:
    """`-m`: checks every combination of a plain sweep, or leaves the candidates to the sweeper that draws them."""
    master = composer.compose(overrides, multirun=True)
    if resumed_directory(overrides) is not None:
        raise UserError("resume: goes on with one run; leave out -m.")
    if composer.command != "train":
        for cfg in combinations(composer, overrides, master, _check) or []:
            _job(composer, cfg)
        return
    devices = OmegaConf.select(master, "trainer.devices")
    check_single_device(devices)
    if devices == "auto":
        overrides = ["trainer.devices=1", *(one for one in overrides if one != "trainer.devices=auto")]
    sweep_directory = chosen_directory(master, "hydra.sweep.dir")
    check_is_writable(sweep_directory)
    combinations(composer, overrides, master, _check_job)
    task = Task(composer.command, keep=tuple(str(path) for path in sweep_directory.glob("*")))
    with undone_on_mistake(sweep_directory, unless_trained=True):
        composer.hydra.multirun(composer.config_name, task, composer.opened([*overrides, *_settled(sweep_directory)]))


def _settled(sweep_directory: Path) -> list[str]:
    """The sweep's directory as it is known here: composed again, it would have another time in its name."""
    return [f"hydra.sweep.dir={written(str(sweep_directory))}", "hydra.mode=MULTIRUN"]

"""A run's directory: whether it can be had, and what becomes of it when the job ends in a mistake by the user."""

import importlib
import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from cifar_exp.config.parse import unresolved
from cifar_exp.errors import UserError
from cifar_exp.process import is_first_process
from cifar_exp.runs.directory import RunDir
from cifar_exp.runs.in_use import in_use


def chosen_directory(cfg: DictConfig, key: str) -> Path:
    """The directory that `key` of the config names; raises UserError where it refers to nothing."""
    try:
        return Path(str(OmegaConf.select(cfg, key)))
    except OmegaConfBaseException as error:
        raise unresolved(error, key) from None


def check_is_writable(directory: Path) -> None:
    """Raises UserError where `directory` cannot be made or written to."""
    there = next(path for path in (directory.absolute(), *directory.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise UserError(f"{directory}: nothing can be written to {there}.")


def check_is_free(directory: Path) -> None:
    """Raises UserError where `directory` cannot be made, or holds a run already.

    The other processes of a distributed run share the directory of the first, which has checked it.
    """
    if not is_first_process():
        return
    check_is_writable(directory)
    found = [name for name in ("result.json", "checkpoints") if (directory / name).exists()]
    if found:
        raise UserError(
            f"hydra.run.dir={directory}: holds a run already ({found[0]}).\n"
            f"To go on with it: cifar-exp train resume={directory}"
        )


def alone(directory: Path) -> AbstractContextManager[object]:
    """While it is open no other process trains in `directory`; raises UserError where one does."""
    return in_use(RunDir(directory))


@contextmanager
def undone_on_mistake(directory: Path, unless_trained: bool = False, is_alone: bool = False) -> Iterator[None]:
    """Removes `directory`, and those of its parents that are new and empty, when a UserError passes.

    What was there before stays, and so does a run that has trained an epoch and, with `unless_trained`, a directory
    with a job in it that wrote anything. With `is_alone`, raises UserError where another process trains in it.
    """
    new = [path for path in (directory, *directory.absolute().parents) if not path.exists()]
    lock = alone(directory) if is_alone else nullcontext()
    try:
        with lock:
            yield
    except UserError:
        has_jobs = unless_trained and any(path.is_dir() for path in directory.glob("*"))
        if new and not has_jobs and not (directory / "checkpoints" / "last.ckpt").exists():
            shutil.rmtree(directory, ignore_errors=True)
            for parent in new[1:]:
                _remove_if_empty(parent)
        raise


def _remove_if_empty(directory: Path) -> None:
    if directory.is_dir() and not any(directory.iterdir()):
        directory.rmdir()


@dataclass(frozen=True)
class Task:
    """A command's `main` as Hydra's task function; launchers may pickle it for another process."""

    command: str
    keep: tuple[str, ...] | None = None  # of a sweep: what its directory held before; None: not a sweep

    def __call__(self, cfg: DictConfig) -> float | None:
        """Runs the command; a job of a sweep that ends in a UserError leaves no directory of its own."""
        main = importlib.import_module(f"cifar_exp.cli.commands.{self.command}").main
        try:
            result: float | None = main(cfg)
        except UserError:
            if self.keep is not None and OmegaConf.select(cfg, "trial") is None:
                self._remove(Path(HydraConfig.get().runtime.output_dir))
            raise
        return result

    def _remove(self, directory: Path) -> None:
        kept = {Path(path).absolute() for path in self.keep or ()}
        if kept.isdisjoint((directory, *directory.parents)):
            shutil.rmtree(directory, ignore_errors=True)

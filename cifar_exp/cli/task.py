"""A command as Hydra's task function."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from cifar_exp.checks import check_train
from cifar_exp.cli.jobs import Prepared
from cifar_exp.config.devices import trains_alone
from cifar_exp.config.schema import TrainConfig
from cifar_exp.files import write_text
from cifar_exp.process import alone, has_rank, is_first_process
from cifar_exp.runs.directory import RunDir
from cifar_exp.runs.lock import in_use
from cifar_exp.runs.new_directory import undone_on_error
from cifar_exp.runs.saved import save_config


@dataclass(frozen=True)
class Task:
    """A command's `main` on a checked config; launchers may pickle it for another process."""

    command: str
    checked: Any = None  # of a single job
    prepared: Prepared = field(default_factory=Prepared)  # the jobs of a plain multirun
    keep: tuple[str, ...] | None = None  # what the directory of a plain multirun contained before; None: no such job

    def __call__(self, cfg: DictConfig) -> float | None:
        """Run the command; a job of a plain multirun that ends in a UserError leaves no directory of its own."""
        main = importlib.import_module(f"cifar_exp.cli.commands.{self.command}").main
        runtime = HydraConfig.get().runtime
        directory = Path(runtime.output_dir)
        if self.command != "train":
            main(self.checked)
            return None
        with nullcontext() if self.keep is None else self._alone(directory):
            checked = self.checked or self.prepared.checked(HydraConfig.get().job.num)
            if checked is None:
                checked = check_train(cfg, Path(runtime.cwd))
            with alone(has_rank() and trains_alone(checked.config.trainer)):
                if is_first_process():
                    record(RunDir(directory), checked.config)
                result: float = main(checked)
        return result

    @contextmanager
    def _alone(self, directory: Path) -> Iterator[None]:
        kept = {Path(path) for path in self.keep or ()}
        new = [directory] if kept.isdisjoint((directory, *directory.parents)) else []
        with in_use(RunDir(directory)), undone_on_error(directory, new, lambda: RunDir(directory).trace is not None):
            yield


def record(run: RunDir, config: TrainConfig) -> None:
    """Write the resolved config of a new run, and how Hydra composed it."""
    if run.trace is None and config.resume in (None, "auto"):
        save_config(run, config)
        write_text(run.hydra, OmegaConf.to_yaml(HydraConfig.instance().cfg))
        write_text(run.overrides, OmegaConf.to_yaml(HydraConfig.get().overrides.task))

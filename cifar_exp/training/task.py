"""A training as Hydra's task function, which launchers run in this process or in another one."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from cifar_exp.checks import Planned, check_train
from cifar_exp.config.schema import TrainConfig
from cifar_exp.files import write_text
from cifar_exp.process import is_first_process
from cifar_exp.runs.directory import RunDir
from cifar_exp.runs.result import Result
from cifar_exp.runs.saved import save_config
from cifar_exp.training.train import Callbacks, check_directory, one_process, train_in


class Checked(dict[Path, Planned[TrainConfig]]):
    """The runs that this process has checked, by directory; what a launcher pickles for another one has none."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Checked, ()


@dataclass(frozen=True)
class TrainTask:
    """Train in the directory of Hydra's job.

    Attributes:
        show: called with each run's result, and whether it had finished before.
        callbacks: see `train_in`.
        checked: the runs that need no check any more.
    """

    show: Callable[[RunDir, Result, bool], None]
    callbacks: Callbacks
    checked: Checked = field(default_factory=Checked)

    def __call__(self, cfg: DictConfig) -> float:
        """Return the best validation accuracy, for sweepers."""
        runtime = HydraConfig.get().runtime
        run = RunDir(Path(runtime.output_dir))
        known = self.checked.get(run.path)
        checked = known or check_train(cfg, Path(runtime.cwd), HydraConfig.get().mode == RunMode.MULTIRUN)
        config = checked.config
        with one_process(config):
            is_finished = known is None and check_directory(run, config, resume=bool(config.resume or config.trial))
            if is_finished:
                result = run.read_result()
            else:
                record(run, config)
                result = train_in(run, checked, self.callbacks)
            if is_first_process():
                self.show(run, result, is_finished)
        assert result.val_acc is not None
        return result.val_acc


def record(run: RunDir, config: TrainConfig) -> None:
    """Write the resolved config of a new run, and how Hydra composed it."""
    if is_first_process() and run.trace is None and config.resume in (None, "auto"):
        save_config(run, config)
        write_text(run.hydra, OmegaConf.to_yaml(HydraConfig.instance().cfg))
        write_text(run.overrides, OmegaConf.to_yaml(HydraConfig.get().overrides.task))

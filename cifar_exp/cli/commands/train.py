"""`cifar-exp train`: trains a network, validates it each epoch, tests it once with the best weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig

from cifar_exp.checks import Planned
from cifar_exp.cli.run_directory import show_finished
from cifar_exp.cli.tables import result_table, show
from cifar_exp.config.schema import TrainConfig
from cifar_exp.process import is_first_process
from cifar_exp.runs.directory import RunDir
from cifar_exp.runs.result import Result
from cifar_exp.training.train import train_checked

if TYPE_CHECKING:
    from pytorch_lightning.callbacks import Callback


def main(checked: Planned[TrainConfig]) -> float:
    """Run the job in Hydra's output directory; return the best validation accuracy, for sweepers."""
    run, config = RunDir(Path(HydraConfig.get().runtime.output_dir)), checked.config
    resume = config.resume is not None or config.trial is not None
    was_finished = resume and run.finished
    result = train_checked(checked, run, resume, trial_callbacks(config))
    if was_finished:
        show_finished(run)
    elif is_first_process():
        show_result(result, run)
    assert result.val_acc is not None
    return result.val_acc


def trial_callbacks(config: TrainConfig) -> list[Callback]:
    """Return what connects the run to its study, if it is a trial of one."""
    if config.trial is None:
        return []
    from cifar_exp.sweep.worker.reporting import TrialReporter

    return [TrialReporter(config.trial)]


def show_result(result: Result, run: RunDir) -> None:
    """Print the result table, and where the curves and the dashboard are."""
    epochs = "1 epoch" if result.epochs == 1 else f"{result.epochs} epochs"
    rows = [
        ("model", f"{result.model}: {result.params:,} parameters, {result.macs:,} MACs"),
        ("data", f"{result.data}, seed {result.seed}"),
        ("train accuracy", f"{result.train_acc:.2%}"),
        ("validation accuracy", f"{result.val_acc:.2%}"),
        ("test accuracy", f"{result.test_acc:.2%}"),
        ("test loss", f"{result.test_loss:.4f}"),
        ("time", f"{epochs}, {result.seconds_per_epoch:.2f} s per epoch, on {result.device}"),
        ("curves", str(run.curves)),
    ]
    if result.wandb_dir:
        rows.append(("dashboard", f"wandb leet {result.wandb_dir}"))
    show(result_table("Result", rows))

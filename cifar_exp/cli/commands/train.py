"""`cifar-exp train`: what it prints of a run."""

from typing import TYPE_CHECKING

from cifar_exp.cli.tables import line, result_table, show
from cifar_exp.config.schema import TrainConfig
from cifar_exp.runs.directory import RunDir
from cifar_exp.runs.result import Result

if TYPE_CHECKING:
    from pytorch_lightning.callbacks import Callback


def trial_callbacks(config: TrainConfig) -> "list[Callback]":
    """Return what connects the run to its study, if it is a trial of one."""
    if config.trial is None:
        return []
    from cifar_exp.sweep.worker.reporting import TrialReporter

    return [TrialReporter(config.trial)]


def show_run(run: RunDir, result: Result, was_finished: bool = False) -> None:
    """Print the result table, and where the curves and the dashboard are."""
    if was_finished:
        line(f"{run.path} has finished already: test accuracy {result.test_acc:.2%}")
        return
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

"""`cifar-exp train`: trains a network, validates it each epoch, tests it once with the best weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from cifar_exp.cli.tables import result_table, show
from cifar_exp.process import settle
from cifar_exp.runs.directory import RunDir

if TYPE_CHECKING:
    from pytorch_lightning.callbacks import Callback

    from cifar_exp.config.schema import TrainConfig


def main(cfg: DictConfig) -> float:
    """Runs the job in Hydra's output directory; returns the best validation accuracy, for sweepers."""
    settle()
    from cifar_exp.checks import check_train
    from cifar_exp.training.fit import Job

    checked = check_train(cfg)
    run = RunDir(Path(HydraConfig.get().runtime.output_dir))
    if run.finished:
        result = run.read_result()
        print(f"{run.path} has finished already: test accuracy {result['test/acc']:.2%}")
    else:
        job = Job(checked, run, trial_callbacks(checked.config))
        result = job.train()
        if job.trainer.is_global_zero:
            show_result(result, run)
    return float(result["val/acc"])


def trial_callbacks(config: TrainConfig) -> list[Callback]:
    """What ties the run to a study, if it is a trial of one."""
    if config.trial is None:
        return []
    from cifar_exp.sweep.worker.reporting import TrialReporter

    return [TrialReporter(config.trial)]


def show_result(result: Mapping[str, Any], run: RunDir) -> None:
    """The result table, and where the curves and the dashboard are."""
    rows = [
        ("model", f"{result['model']}: {result['params']:,} parameters, {result['macs']:,} MACs"),
        ("data", f"{result['data']}, seed {result['seed']}"),
        ("train accuracy", f"{result['train/acc']:.2%}"),
        ("validation accuracy", f"{result['val/acc']:.2%}"),
        ("test accuracy", f"{result['test/acc']:.2%}"),
        ("test loss", f"{result['test/loss']:.4f}"),
        ("time", f"{result['epochs']} epochs, {result['seconds_per_epoch']:.2f} s each, on {result['device']}"),
        ("curves", str(run.curves)),
    ]
    if result["wandb_dir"]:
        rows.append(("dashboard", f"wandb leet {result['wandb_dir']}"))
    show(result_table("Result", rows))

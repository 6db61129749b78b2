"""`cifar-exp train` itself: its config, its Job, its callbacks, with wandb off."""

from pathlib import Path

from hydra import compose, initialize_config_dir
from pytorch_lightning import LightningModule, Trainer

from benchmarks.gate import Gate, GateCallback, Setting
from cifar_exp.checks import Planned, check_train
from cifar_exp.config.location import conf_dir
from cifar_exp.config.schema import TrainConfig
from cifar_exp.runs.directory import RunDir
from cifar_exp.training.fit import Job
from cifar_exp.training.module import ImageClassifier

VAL_FRACTION = 0.1
ENDLESS = 100_000


def overrides(setting: Setting) -> list[str]:
    """Return the benchmark's run, as a user would ask for it."""
    return [
        f"model={setting.model}",
        "data=synthetic",
        f"data.train_size={round(setting.images / (1 - VAL_FRACTION))}",
        f"data.val_fraction={VAL_FRACTION}",
        f"data.batch_size={setting.batch_size}",
        f"trainer.max_epochs={ENDLESS}",
        f"trainer.accelerator={'gpu' if setting.device == 'cuda' else 'cpu'}",
        "trainer.devices=1",
        f"trainer.precision={setting.precision}",
        f"compile={setting.compile or 'null'}",
        "trainer.enable_progress_bar=false",
        "logger.mode=disabled",
    ]


def checked(setting: Setting) -> Planned[TrainConfig]:
    """Return the same run, composed and checked."""
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return check_train(compose("train", overrides(setting)))


class GroupGate(GateCallback):
    """Lightning brings several batches at once, used up by now; the module has counted their images."""

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, ImageClassifier)
        if batch_idx + 1 == trainer.num_training_batches:
            self._gate.trained(pl_module.train_metrics.images)


def train(setting: Setting, gate: Gate) -> None:
    """Train one epoch whenever the gate opens."""
    Job(checked(setting), RunDir(Path("run").absolute()), [GroupGate(gate)]).train()

"""The moving average of the weights, and what is made of it."""

from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir

from cifar_exp.checks import check_train
from cifar_exp.config.location import conf_dir
from cifar_exp.runs.directory import RunDir
from cifar_exp.training.fit import Job
from tests.training.tiny import TINY


class ByHand(pl.Callback):
    """The recurrence, a tensor at a time."""

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self.average: dict[str, torch.Tensor] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        trainer.optimizers[0].register_step_post_hook(lambda *_: self.move(pl_module))

    def move(self, pl_module: pl.LightningModule) -> None:
        for name, value in pl_module.state_dict().items():
            if value.is_floating_point() and name in self.average:
                self.average[name] = self.decay * self.average[name] + (1 - self.decay) * value
            else:
                self.average[name] = value.clone()


def test_the_average_of_the_steps_is_what_is_kept(tmp_path: Path) -> None:
    by_hand = ByHand(0.8)
    overrides = [*TINY, "callbacks.ema.decay=0.8", "trainer.max_epochs=2"]
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        checked = check_train(compose("train", overrides))
    Job(checked, RunDir(tmp_path), [by_hand]).train()
    checkpoint = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    for name, value in checkpoint["state_dict"].items():
        torch.testing.assert_close(value, by_hand.average[name])
    last = checkpoint["current_model_state"]
    assert sum(not torch.equal(last[name], average) for name, average in by_hand.average.items()) > 10


@pytest.mark.parametrize("epochs", [1, 2])
def test_a_schedule_of_four_steps_ends(epochs: int, tmp_path: Path) -> None:
    size = ["data.train_size=200", "data.val_fraction=0.5", "data.batch_size=25"]
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        checked = check_train(compose("train", [*TINY, *size, f"trainer.max_epochs={epochs}"]))
    assert Job(checked, RunDir(tmp_path)).train().epochs == epochs

"""The moving average of the weights over the steps, which is validated, tested and saved in place of the weights."""

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from cifar_exp.training.metrics import share_statistics


class MovingAverage(Callback):
    """Exponential moving average of parameters and batch norm statistics.

    Polyak & Juditsky 1992; with a decay as in Tarvainen & Valpola 2017, section 3. It starts as the weights after the
    first step, and takes one operation per step: Lightning's `WeightAveraging` takes 20 times as long.
    A checkpoint contains the average as `state_dict`, and the weights as `current_model_state`.
    """

    state_key = "MovingAverage"

    def __init__(self, decay: float) -> None:
        """`decay` is the fraction of the average that a step keeps."""
        self._move_towards = get_ema_multi_avg_fn(decay)
        self._steps = 0
        self._averages: dict[str, Tensor] = {}
        self._trained: dict[str, Tensor] = {}
        self._loaded: dict[str, Tensor] = {}
        self._set_aside: list[Tensor] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start or continue the average, and update it after each optimizer step.

        Averages of weights in half precision stay in float32: what a step adds would be rounded away.
        """
        named = (*pl_module.named_parameters(), *pl_module.named_buffers())
        self._trained = {name: tensor.detach() for name, tensor in named if tensor.is_floating_point()}
        dtype = torch.promote_types(next(pl_module.parameters()).dtype, torch.float32)
        self._casts = any(tensor.dtype != dtype for tensor in self._trained.values())
        self._averages = {
            name: self._loaded.get(name, tensor).to(tensor.device, dtype, copy=True)
            for name, tensor in self._trained.items()
        }
        self._dtype, self._loaded = dtype, {}
        (optimizer,) = trainer.optimizers
        optimizer.register_step_post_hook(self._update)

    @torch.no_grad()
    def _update(self, *_: object) -> None:
        values, averages = list(self._trained.values()), list(self._averages.values())
        if self._casts:
            values = [value.to(self._dtype) for value in values]
        if self._steps:
            self._move_towards(averages, values, self._steps)
        else:
            _copy(values, averages)
        self._steps += 1

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: object) -> None:
        """Agree with other processes at the end of an epoch."""
        if trainer.is_last_batch:
            share_statistics(self._averages, trainer)

    @torch.no_grad()
    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put the average in place of the weights."""
        self._set_aside = [tensor.clone() for tensor in self._trained.values()]
        _copy(self._averages.values(), self._trained.values())

    @torch.no_grad()
    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        _copy(self._set_aside, self._trained.values())
        self._set_aside = []

    @torch.no_grad()
    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        _copy(self._averages.values(), self._trained.values())

    def state_dict(self) -> dict[str, Any]:
        return {"latest_update_step": self._steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._steps = state_dict["latest_update_step"]

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Save the average as the network, and the weights beside it."""
        weights = checkpoint["state_dict"]
        checkpoint["current_model_state"] = weights
        checkpoint["state_dict"] = {name: self._averages.get(name, value) for name, value in weights.items()}

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Take both back: Lightning has loaded the average in place of the weights."""
        self._loaded = checkpoint["state_dict"]
        pl_module.load_state_dict(checkpoint["current_model_state"])


def _copy(sources: Any, targets: Any) -> None:
    for source, target in zip(sources, targets, strict=True):
        target.copy_(source)

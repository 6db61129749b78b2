"""The average of the weights over the steps, which is what is validated, tested and kept."""

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor

from cifar_exp.training.statistics import share_statistics


class MovingAverage(WeightAveraging):
    """Lightning's, updated by one operation a step: torch's `AveragedModel` asks its counter twice on the host.

    Exponential moving average (Polyak & Juditsky 1992; with a decay as in Tarvainen & Valpola 2017) of parameters and
    batch norm statistics, which starts as the weights after the first step.
    """

    def __init__(self, decay: float) -> None:
        """`decay` is the share of the average that a step keeps."""
        super().__init__()
        self.decay = decay

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Finds what is averaged, both lists the same tensors throughout, and averages after each optimizer step.

        Averages of weights in half precision stay in float32: a step's share would be rounded away.
        """
        assert self._average_model is not None
        trained = next(pl_module.parameters()).dtype
        self._dtype = torch.promote_types(trained, torch.float32)
        self._casts = self._dtype != trained
        self._average_model.module.to(self._dtype)
        self._averages, self._averaged_counts = _parted(self._average_model.module)
        self._values, self._counts = _parted(pl_module)
        (optimizer,) = trainer.optimizers
        optimizer.register_step_post_hook(self._move)

    @torch.no_grad()
    def _move(self, *_: object) -> None:
        """Moves the average towards the weights."""
        values = [value.to(self._dtype) for value in self._values] if self._casts else self._values
        torch._foreach_lerp_(self._averages, values, 1.0 - self.decay if self._latest_update_step else 1.0)
        if self._counts:
            torch._foreach_copy_(self._averaged_counts, self._counts)
        self._latest_update_step += 1

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: object) -> None:
        """Agrees with other processes at an epoch's end; Lightning's would average, once for several steps."""
        if trainer.is_last_batch:
            assert self._average_model is not None
            share_statistics(self._average_model.module, trainer)


def _parted(module: torch.nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """The module's floating-point numbers, and its integers (the steps that batch norms have seen)."""
    tensors = [tensor.detach() for tensor in (*module.parameters(), *module.buffers())]
    return [x for x in tensors if x.is_floating_point()], [x for x in tensors if not x.is_floating_point()]

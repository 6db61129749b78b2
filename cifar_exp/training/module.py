"""The one LightningModule: any network, trained to classify images.

Shapes: B images of a batch, C channels, H × W pixels, K classes.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pytorch_lightning.core.optimizer import LightningOptimizer
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from cifar_exp.config.schema import TrainConfig
from cifar_exp.data.loader import Batch
from cifar_exp.errors import RunFailedError
from cifar_exp.inference.classifier import Classifier
from cifar_exp.training.distillation import Teacher
from cifar_exp.training.metrics import Metrics, RunningMetrics, share_statistics
from cifar_exp.training.optim.optimizers import build_optimizer, build_schedule


class NonFiniteLossError(RunFailedError):
    """A loss became infinite or not a number."""


def check_finite(loss: float, name: str) -> None:
    """Raise NonFiniteLossError where a loss, which `name` names, is infinite or not a number."""
    if not math.isfinite(loss):
        raise NonFiniteLossError(f"the {name} is not finite; try a lower optimizer.lr, or trainer.gradient_clip_val=1")


class ImageClassifier(pl.LightningModule):
    """Train and evaluate a classifier; metrics are summed on the device and read once per epoch."""

    def __init__(self, classifier: Classifier, config: TrainConfig, teacher: Teacher | None = None) -> None:
        """Use the model, loss, optimizer and scheduler of `config`."""
        super().__init__()
        self.automatic_optimization = False  # a call of `training_step` makes several optimizer steps
        self.classifier = classifier.to(memory_format=torch.channels_last)
        self.config = config
        self.teacher = teacher
        self._compiled: Callable[[Tensor], Tensor] | None = None
        self.train_metrics = RunningMetrics()
        self.val_metrics = RunningMetrics()
        self.val_figures = Metrics(loss=math.nan, accuracy=math.nan, images=0)  # of the last validation

    def on_fit_start(self) -> None:
        """Compile what trains, for batches of one size; evaluation, in other sizes, stays as it is."""
        mode = self.config.compile
        if mode is not None:
            self._compiled = torch.compile(self.classifier.forward, mode=mode, dynamic=False)
        if self.teacher is not None:
            self.teacher.prepare(self.device, mode)

    def on_train_epoch_start(self) -> None:
        """Reseed, so that an epoch's dropout depends on (seed, epoch, rank) alone and a resumed run repeats it."""
        torch.manual_seed(hash((self.config.seed, self.current_epoch, self.global_rank)) % 2**63)
        self.train_metrics.reset(self.device)

    def training_step(self, batches: Iterator[Batch], batch_idx: int) -> None:
        """Make one optimizer step for each of a few batches, which share what Lightning does around a call."""
        optimizer, schedule = self.optimizers(), self.lr_schedulers()
        assert isinstance(optimizer, LightningOptimizer)
        assert isinstance(schedule, LRScheduler)
        for batch in batches:
            loss = self.training_loss(*self.trainer.precision_plugin.convert_input(batch))
            with self._full_precision():
                self.manual_backward(loss)
                optimizer.step()
            optimizer.zero_grad()  # before the next forward pass, which then works in the gradients' memory
            schedule.step()

    def training_loss(self, pixels: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of a batch: pixels (B, C, H, W), and labels (B,) or class probabilities (B, K)."""
        logits = self.classifier(pixels) if self._compiled is None else self._compiled(pixels)
        loss = F.cross_entropy(logits, targets, label_smoothing=self.config.loss.label_smoothing)
        if self.teacher is not None:
            loss = self.teacher.blend(loss, logits, pixels)
        self.train_metrics.add(loss, logits, targets)
        return loss

    def _full_precision(self) -> AbstractContextManager[Any]:
        """Leave the autocast in which Lightning calls `training_step`: it is for the forward pass alone."""
        if not torch.is_autocast_enabled(self.device.type):
            return nullcontext()
        return torch.autocast(self.device.type, enabled=False)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Clip the gradients, whose scale (`16-mixed`) has been undone by now."""
        trainer = self.config.trainer
        if trainer.gradient_clip_val:
            self.clip_gradients(optimizer, trainer.gradient_clip_val, trainer.gradient_clip_algorithm)

    def on_train_batch_end(self, *_: Any) -> None:
        """Synchronize metrics with other processes at the end of an epoch, before the validation."""
        if self.trainer.is_last_batch:
            share_statistics(dict(self.named_buffers()), self.trainer)

    def train_figures(self) -> Metrics:
        """Return the training loss and accuracy of the epoch, after its validation.

        Raises NonFiniteLossError where the loss of the training or of the validation diverged.
        """
        metrics = self.train_metrics.summed_over(self.trainer)
        epoch = self.current_epoch + 1
        check_finite(metrics.loss, f"training loss of epoch {epoch}")
        check_finite(self.val_figures.loss, f"validation loss of epoch {epoch}")
        return metrics

    def on_validation_epoch_start(self) -> None:
        self.val_metrics.reset(self.device)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Count a batch: pixels (B, C, H, W), labels (B,)."""
        pixels, labels = batch
        logits = self.classifier(pixels)
        self.val_metrics.add(F.cross_entropy(logits, labels), logits, labels)

    def on_validation_epoch_end(self) -> None:
        """Log the validation figures of the epoch."""
        self.val_figures = self.val_metrics.summed_over(self.trainer)
        self.log_dict({"val/loss": self.val_figures.loss, "val/acc": self.val_figures.accuracy}, sync_dist=False)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return the optimizer of the config, with a schedule that advances at each step."""
        config, data = self.config, self.trainer.datamodule  # type: ignore[attr-defined]
        # Lightning does not clip for fused optimizers, which undo the loss's scale within their kernel
        scaled_and_clipped = self.trainer.precision == "16-mixed" and bool(config.trainer.gradient_clip_val)
        optimizer = build_optimizer(config.optimizer, self.classifier, fused=not scaled_and_clipped)
        epochs = config.trainer.max_epochs
        steps = data.train_dataloader().steps * epochs
        return [optimizer], [build_schedule(config.scheduler, optimizer, steps, epochs)]

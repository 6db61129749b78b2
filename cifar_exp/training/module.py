"""The one LightningModule: any network, trained to classify images.

Shapes: B images of a batch, C channels, H × W pixels, K classes.
"""

import math
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor

from cifar_exp.config.schema import LossConfig, OptimizerConfig, SchedulerConfig
from cifar_exp.errors import RunFailedError
from cifar_exp.training.classifier import Classifier
from cifar_exp.training.distillation import Teacher
from cifar_exp.training.metrics import Metrics, RunningMetrics
from cifar_exp.training.optimizers import build_optimizer
from cifar_exp.training.schedules import build_schedule


class NonFiniteLossError(RunFailedError):
    """The training loss became infinite or not a number."""


class ImageClassifier(pl.LightningModule):
    """Trains and evaluates a classifier; figures are summed on the device and read once an epoch."""

    def __init__(
        self,
        classifier: Classifier,
        loss: LossConfig | None = None,
        optimizer: OptimizerConfig | None = None,
        scheduler: SchedulerConfig | None = None,
        seed: int = 0,
        compile_mode: str | None = None,
        teacher: Teacher | None = None,
    ) -> None:
        """Without `optimizer` and `scheduler` it can only be evaluated; `compile_mode` is torch.compile's."""
        super().__init__()
        self.classifier = classifier.to(memory_format=torch.channels_last)
        self.loss = loss or LossConfig()
        self.optimizer_config = optimizer
        self.scheduler_config = scheduler
        self.seed = seed
        self.compile_mode = compile_mode
        self.teacher = teacher
        self._compiled: Callable[[Tensor], Tensor] | None = None
        self.train_metrics = RunningMetrics()
        self.val_metrics = RunningMetrics()
        self.val_figures = Metrics(loss=math.nan, accuracy=math.nan, images=0)  # of the last validation

    def forward(self, pixels: Tensor) -> Tensor:
        """Raw pixels 0–255 (B, C, H, W) to logits (B, K)."""
        logits: Tensor = self.classifier(pixels)
        return logits

    def on_fit_start(self) -> None:
        """Compiles what trains, for batches of one size; evaluation, in other sizes, stays as it is."""
        if self.compile_mode is not None:
            self._compiled = torch.compile(self.classifier.forward, mode=self.compile_mode, dynamic=False)
        if self.teacher is not None:
            self.teacher.prepare(self.device, self.compile_mode)

    def on_train_epoch_start(self) -> None:
        """Reseeds, so that an epoch's dropout depends on (seed, epoch, rank) alone and a resumed run repeats it."""
        torch.manual_seed(hash((self.seed, self.current_epoch, self.global_rank)) % 2**63)
        self.train_metrics.reset(self.device)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """The mean loss of a batch: pixels (B, C, H, W), and labels (B,) or class probabilities (B, K)."""
        pixels, targets = batch
        logits = self(pixels) if self._compiled is None else self._compiled(pixels)
        loss = F.cross_entropy(logits, targets, label_smoothing=self.loss.label_smoothing)
        if self.teacher is not None:
            loss = self.teacher.blend(loss, logits, pixels)
        self.train_metrics.add(loss, logits, targets)
        return loss

    def on_train_batch_end(self, *_: Any) -> None:
        """Frees the gradients as soon as they have been used: the next forward pass then works in their memory."""
        self.trainer.optimizers[0].zero_grad()

    def optimizer_zero_grad(self, *_: Any) -> None:
        """Nothing more: Lightning asks for it between the forward and the backward pass."""

    def train_figures(self) -> Metrics:
        """The epoch's training loss and accuracy. Raises NonFiniteLossError where the loss ran away."""
        metrics = self.train_metrics.summed_over(self.trainer)
        if not metrics.finite:
            raise NonFiniteLossError(
                f"the training loss of epoch {self.current_epoch} is not finite; "
                "try a lower optimizer.lr, or trainer.gradient_clip_val=1"
            )
        return metrics

    def on_validation_epoch_start(self) -> None:
        """Starts counting anew."""
        self.val_metrics.reset(self.device)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Counts a batch: pixels (B, C, H, W), labels (B,)."""
        pixels, labels = batch
        logits = self(pixels)
        self.val_metrics.add(F.cross_entropy(logits, labels), logits, labels)

    def on_validation_epoch_end(self) -> None:
        """Logs the epoch's validation figures."""
        self.val_figures = self.val_metrics.summed_over(self.trainer)
        self.log_dict({"val/loss": self.val_figures.loss, "val/acc": self.val_figures.accuracy}, sync_dist=False)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """What the config says, with a schedule that advances each step."""
        if self.optimizer_config is None or self.scheduler_config is None:
            raise RuntimeError("this module was built for evaluation: it has no optimizer")
        # Lightning does not clip for fused optimizers, which undo the loss's scale within their kernel
        scaled_and_clipped = self.trainer.precision == "16-mixed" and bool(self.trainer.gradient_clip_val)
        optimizer = build_optimizer(self.optimizer_config, self.classifier, fused=not scaled_and_clipped)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = build_schedule(self.scheduler_config, optimizer, steps, self.trainer.max_epochs or 1)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """The loader's batches are on the device already."""
        return batch

"""The pipeline that most projects have: Lightning, a DataLoader, torchvision on PIL images, torchmetrics, self.log.

It is written after lightning-hydra-template (loss and accuracy as metrics, logged each step, shown each epoch) and
torchvision's CIFAR10 (an image is made from its array, transformed, and collated). No logger and no progress bar are
attached, which is to its advantage. The network is ours, with torch's own dropout, in torch's default memory format.
"""

import numpy as np
import pytorch_lightning as pl
import torch
from PIL import Image
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy
from torchvision import transforms

from benchmarks.gate import Gate, GateCallback, Setting
from benchmarks.ours import ENDLESS, checked
from cifar_exp.network import build_network
from cifar_exp.network.dropout import ByteDropout

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


class PILImages(Dataset[tuple[Tensor, int]]):
    """Arrays in memory, an image at a time, as torchvision's CIFAR10 has them."""

    def __init__(self, count: int, classes: int) -> None:
        rng = np.random.default_rng(0)
        self.data = rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
        self.targets = rng.integers(0, classes, count).tolist()
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
            ]
        )

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.data[index])), self.targets[index]


class UsualModule(pl.LightningModule):
    """The template's module."""

    def __init__(self, network: nn.Module, classes: int, lr: float) -> None:
        super().__init__()
        self.network = network
        self.lr = lr
        self.criterion = nn.CrossEntropyLoss()
        self.train_loss = MeanMetric()
        self.train_acc = MulticlassAccuracy(num_classes=classes, average="micro")

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        images, labels = batch
        logits = self.network(images)
        loss: Tensor = self.criterion(logits, labels)
        self.train_loss(loss)
        self.train_acc(logits.argmax(dim=1), labels)
        self.log("train/loss", self.train_loss, on_step=False, on_epoch=True, prog_bar=True)
        self.log("train/acc", self.train_acc, on_step=False, on_epoch=True, prog_bar=True)
        return loss

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.lr)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=self.lr, total_steps=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def with_torch_dropout(network: nn.Module) -> nn.Module:
    """`network` with `nn.Dropout` for each of our own."""
    for name, child in network.named_children():
        if isinstance(child, ByteDropout):
            network.register_module(name, nn.Dropout(child.rate))
        else:
            with_torch_dropout(child)
    return network


def train(setting: Setting, gate: Gate) -> None:
    """Train one epoch whenever the gate opens."""
    run = checked(setting)
    classes = run.plan.num_classes
    loader = DataLoader(
        PILImages(setting.images, classes),
        batch_size=setting.batch_size,
        shuffle=True,
        num_workers=setting.workers,
        persistent_workers=setting.workers > 0,
        pin_memory=setting.device == "cuda",
    )
    trainer = pl.Trainer(
        max_epochs=ENDLESS,
        accelerator="gpu" if setting.device == "cuda" else "cpu",
        devices=1,
        precision=setting.precision,  # type: ignore[arg-type]
        callbacks=[GateCallback(gate)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    module = UsualModule(with_torch_dropout(build_network(run.plan)), classes, run.config.optimizer.lr)
    trainer.fit(module, loader)

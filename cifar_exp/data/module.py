"""The data of a run, as Lightning wants it."""

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from cifar_exp.data.images import ImageSet, channel_statistics, fingerprint
from cifar_exp.data.loader import EvalLoader, GroupedLoader, TrainLoader
from cifar_exp.data.settings import AugmentConfig, DataConfig
from cifar_exp.data.sources import load_test, load_train_val

TRAIN, VAL, TEST = range(3)


class CifarData(pl.LightningDataModule):
    """Training, validation and test batches out of the device's memory; usable without a Trainer too.

    Batches are raw pixels (see `TrainLoader`), those of the training in groups; `mean` and `std` (float32 (3,), in
    0–255 units, of the training part) are there after `setup`, for the network's own normalisation.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        data: DataConfig,
        augment: AugmentConfig,
        seed: int,
        max_epochs: int = -1,
        limit_train_batches: int | float | None = None,
    ) -> None:
        """`seed` is of the epochs' order and augmentation, `max_epochs` what `augment.mix_until` is a fraction of."""
        super().__init__()
        self.data = data
        self.augment = augment
        self.seed = seed
        self.max_epochs = max_epochs
        self.limit_train_batches = limit_train_batches
        self._parts: tuple[ImageSet, ...] = ()  # training, validation, test, after `setup`

    def setup(self, stage: str | None = None) -> None:
        """Load all images once, whatever the stage, and move them to the Trainer's device.

        Raises:
            UserError: images that are missing or broken, or too few of them; of the test too, before any training.
        """
        if not self._parts:
            test = load_test(self.data)
            train, val = load_train_val(self.data)
            self.mean, self.std = channel_statistics(train)
            self._parts = (train, val, test)
        device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
        self._parts = tuple(part.to(device) for part in self._parts)

    def fingerprint(self) -> str:
        """Return the hash of all images, after `setup`."""
        return fingerprint(*self._parts)

    def train_dataloader(self) -> GroupedLoader:
        """Return the batches of an epoch, shuffled and augmented, several at a time."""
        loader = TrainLoader(
            self._parts[TRAIN],
            self.data.batch_size,
            self.augment,
            seed=self.seed,
            max_epochs=self.max_epochs,
            fill=self.mean,
            **self._place(),
        )
        return GroupedLoader(loader, self.limit_train_batches)

    def val_dataloader(self) -> EvalLoader:
        """Return the part held out of the training images, in order."""
        return EvalLoader(self._parts[VAL], self.data.eval_batch_size, **self._place())

    def test_dataloader(self) -> EvalLoader:
        """Return all test images, in order, on every process: the test is one process's work."""
        return EvalLoader(self._parts[TEST], self.data.eval_batch_size)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Return the batch, which is on the device already."""
        return batch

    def _place(self) -> dict[str, int]:
        trainer = self.trainer
        return {"rank": trainer.global_rank, "world_size": trainer.world_size} if trainer else {}

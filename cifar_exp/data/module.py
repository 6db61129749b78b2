"""The data of a run, as Lightning wants it."""

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor

from cifar_exp.data.fingerprint import fingerprint
from cifar_exp.data.grouping import GroupedLoader
from cifar_exp.data.images import ImageSet, channel_statistics
from cifar_exp.data.loader import EvalLoader, TrainLoader
from cifar_exp.data.settings import AugmentConfig, DataConfig
from cifar_exp.data.sources import load_test, load_train_val


class CifarData(pl.LightningDataModule):
    """Training, validation and test batches out of the device's memory; usable without a Trainer too.

    Batches are raw pixels (see `TrainLoader`), those of the training in groups; `mean` and `std` (float32 (3,), in
    0–255 units, of the training part) are there after `setup("fit")`, for the network's own normalisation.
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
        """`seed` is of the epochs' order and augmentation, `max_epochs` what `augment.mix_until` is a share of."""
        super().__init__()
        self.data = data
        self.augment = augment
        self.seed = seed
        self.max_epochs = max_epochs
        self.limit_train_batches = limit_train_batches
        self._train: ImageSet | None = None
        self._val: ImageSet | None = None
        self._test: ImageSet | None = None

    def prepare_data(self) -> None:
        """Download, or decode into the cache, in one process of a machine before the others look."""
        state = self.trainer.state.fn if self.trainer else None
        self._load(with_training=state in (None, TrainerFn.FITTING, TrainerFn.VALIDATING))

    def setup(self, stage: str | None = None) -> None:
        """Load what is not yet there, and move it to the Trainer's device; `test` needs the test images alone.

        Raises:
            UserError: images that are missing or broken, or too few of them. Those of the test
                too, before any training.
        """
        self._load(with_training=stage in (None, "fit", "validate"))
        device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
        for name in ("_train", "_val", "_test"):
            images: ImageSet | None = getattr(self, name)
            if images is not None:
                setattr(self, name, images.to(device))

    def fingerprint(self) -> str:
        """Return the hash of all images, see `data.fingerprint`; it comes after `setup("fit")`."""
        return fingerprint(_loaded(self._train), _loaded(self._val), _loaded(self._test))

    def train_dataloader(self) -> GroupedLoader:
        """Shuffled and augmented, several batches at a time."""
        loader = TrainLoader(
            _loaded(self._train),
            self.data.batch_size,
            self.augment,
            seed=self.seed,
            max_epochs=self.max_epochs,
            fill=self.mean,
            **self._place(),
        )
        return GroupedLoader(loader, self.limit_train_batches)

    def val_dataloader(self) -> EvalLoader:
        """The part held out of the training images, in order."""
        return EvalLoader(_loaded(self._val), self.data.eval_batch_size, **self._place())

    def test_dataloader(self) -> EvalLoader:
        """All test images, in order, on every process: the test is one process's work."""
        return EvalLoader(_loaded(self._test), self.data.eval_batch_size)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Batches are on the device already."""
        return batch

    def _load(self, with_training: bool) -> None:
        if self._test is None:
            self._test = load_test(self.data)
        if with_training and self._train is None:
            self._train, self._val = load_train_val(self.data)
            self.mean, self.std = channel_statistics(self._train)

    def _place(self) -> dict[str, int]:
        if self.trainer is None:
            return {"rank": 0, "world_size": 1}
        return {"rank": self.trainer.global_rank, "world_size": self.trainer.world_size}


def _loaded(images: ImageSet | None) -> ImageSet:
    if images is None:
        raise RuntimeError("setup() comes before the loaders")
    return images

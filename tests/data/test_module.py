from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

from cifar_exp.data.images import ImageSet, channel_statistics
from cifar_exp.data.loader import Batch, GroupedLoader, TrainLoader
from cifar_exp.data.module import CifarData
from cifar_exp.data.settings import AugmentConfig, DataConfig
from cifar_exp.errors import UserError

CROP_FLIP = AugmentConfig(name="crop_flip", crop_padding=4, flip=True)


def small(**settings: object) -> DataConfig:
    return DataConfig.model_validate({"name": "synthetic", "train_size": 200, "test_size": 50, **settings})


class Recorder(pl.LightningModule):
    """Learns nothing, remembers what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.shown: list[list[Tensor]] = []
        self.evaluated = 0

    def on_train_epoch_start(self) -> None:
        self.shown.append([])

    def training_step(self, batches: Iterator[Batch], batch_idx: int) -> None:
        self.shown[-1].extend(images for images, _ in batches)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.evaluated += len(batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)


def fit(data: CifarData, epochs: int) -> Recorder:
    recorder = Recorder()
    trainer = pl.Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0,
    )  # fmt: skip
    trainer.fit(recorder, datamodule=data)
    return recorder


def test_lightning_brings_each_epoch_its_own_order() -> None:
    recorder = fit(CifarData(small(), CROP_FLIP, seed=3, max_epochs=2), epochs=2)
    loader = CifarData(small(), CROP_FLIP, seed=3, max_epochs=2)
    loader.setup("fit")
    batches = loader.train_dataloader().loader
    for epoch, shown in enumerate(recorder.shown):
        batches.set_epoch(epoch)
        assert all(torch.equal(images, expected) for images, (expected, _) in zip(shown, batches, strict=True))
    assert not torch.equal(recorder.shown[0][0], recorder.shown[1][0])
    assert recorder.evaluated == 2 * 20


def test_it_works_without_a_trainer() -> None:
    data = CifarData(small(batch_size=60, eval_batch_size=20), CROP_FLIP, seed=0)
    data.setup()
    sizes = [[len(labels) for _, labels in loader] for loader in (
        data.train_dataloader().loader, data.val_dataloader(), data.test_dataloader()
    )]  # fmt: skip
    assert sizes == [[60, 60, 60], [20], [17, 17, 16]]


def test_broken_test_images_are_reported_before_any_training(photos: Path) -> None:
    (photos / "test" / "cat" / "0.png").write_bytes(b"broken")
    data = CifarData(DataConfig(name="folder", root=str(photos), val_fraction=0.5), CROP_FLIP, seed=0)
    with pytest.raises(UserError, match=r"cat.0\.png"):
        data.setup("fit")


def test_setting_up_again_keeps_the_images() -> None:
    data = CifarData(small(), CROP_FLIP, seed=0)
    data.setup("fit")
    before = data.train_dataloader().loader.data.images
    data.setup("fit")
    data.setup("test")
    assert data.train_dataloader().loader.data.images.data_ptr() == before.data_ptr()


def test_mean_and_deviation_are_those_of_the_training_part_alone() -> None:
    data = CifarData(small(), CROP_FLIP, seed=0)
    data.setup("fit")
    pixels = data.train_dataloader().loader.data.images.double()
    assert data.mean.dtype == data.std.dtype == torch.float32
    assert torch.allclose(data.mean.double(), pixels.mean((0, 2, 3)))
    assert torch.allclose(data.std.double(), pixels.std((0, 2, 3), correction=0))


def test_a_constant_channel_is_not_divided_by_zero() -> None:
    white = torch.full((3000, 8, 8, 3), 255, dtype=torch.uint8)
    mean, std = channel_statistics(ImageSet.from_pixels(white, torch.zeros(3000).long(), ("a",)))
    assert mean.tolist() == [255.0] * 3
    assert std.tolist() == [1.0] * 3


@pytest.mark.parametrize(
    ("limit", "sizes"), [(None, [4, 4, 2]), (4, [4]), (5, [4, 1]), (99, [4, 4, 2]), (0.75, [4, 3]), (0.01, [1])]
)
def test_groups_are_of_so_many_batches_and_together_the_epoch_up_to_its_limit(
    limit: int | float | None, sizes: list[int]
) -> None:
    pixels = torch.arange(100, dtype=torch.uint8).view(100, 1, 1, 1).expand(100, 2, 2, 3)
    images = ImageSet.from_pixels(pixels.contiguous(), torch.zeros(100, dtype=torch.int64), ("a",))
    loader = TrainLoader(images, 10, AugmentConfig(), seed=0)
    grouped = GroupedLoader(loader, limit, group_size=4)
    assert (len(grouped), grouped.steps) == (len(sizes), sum(sizes))
    for epoch in (0, 1):
        grouped.sampler.set_epoch(epoch)
        assert loader.epoch == epoch
        groups = [[labels_of(images) for images, _ in group] for group in grouped]
        assert [len(group) for group in groups] == sizes
        assert list(chain(*groups)) == [labels_of(images) for images, _ in loader][: grouped.steps]


def labels_of(images: Tensor) -> list[int]:
    return images[:, 0, 0, 0].tolist()

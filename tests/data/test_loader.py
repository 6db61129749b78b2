from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from cifar_exp.data.images import ImageSet
from cifar_exp.data.loader import EvalLoader, TrainLoader
from cifar_exp.data.settings import AugmentConfig
from cifar_exp.errors import UserError

PLAIN = AugmentConfig()
EVERYTHING = AugmentConfig(
    name="all", crop_padding=2, flip=True, rotate=10.0, cutout=3, mixup=0.5, cutmix=1.0, mix_until=0.5
)
Make = Callable[..., ImageSet]


def flat(count: int) -> ImageSet:
    number = torch.arange(count)
    colour = torch.stack((number // 256, number % 256, number * 0), dim=1).to(torch.uint8)
    return ImageSet.from_pixels(colour[:, None, None, :].expand(-1, 8, 8, 3).contiguous(), number % 3, ("a", "b", "c"))


def seen(images: torch.Tensor) -> list[int]:
    return (images[:, 0, 0, 0].int() * 256 + images[:, 1, 0, 0].int()).tolist()


@settings(deadline=None, max_examples=150)
@given(count=st.integers(2, 700), batch=st.integers(2, 300), world=st.integers(1, 5), epoch=st.integers(0, 3))
def test_over_all_ranks_each_image_comes_once_per_epoch(count: int, batch: int, world: int, epoch: int) -> None:
    if count < 2 * world or batch < 2 * world:
        return
    everything: list[int] = []
    steps = set()
    global_sizes: list[int] = [0] * count
    for rank in range(world):
        loader = TrainLoader(flat(count), batch, PLAIN, seed=1, rank=rank, world_size=world)
        loader.set_epoch(epoch)
        batches = [seen(images) for images, _ in loader]
        assert len(batches) == len(loader)
        assert min(map(len, batches)) >= 2
        steps.add(len(batches))
        everything += [number for numbers in batches for number in numbers]
        for step, numbers in enumerate(batches):
            global_sizes[step] += len(numbers)
    assert sorted(everything) == list(range(count))
    assert len(steps) == 1
    assert all(size == batch for size in global_sizes[: steps.pop() - 1])


@settings(deadline=None, max_examples=100)
@given(count=st.integers(1, 300), batch=st.integers(1, 100), world=st.integers(1, 5))
def test_evaluation_shows_each_image_once_in_order_and_in_as_many_steps_on_each_rank(
    count: int, batch: int, world: int
) -> None:
    if count < world:
        return
    loaders = [EvalLoader(flat(count), batch, rank=rank, world_size=world) for rank in range(world)]
    batches = [[seen(images) for images, _ in loader] for loader in loaders]
    assert [number for rank in batches for numbers in rank for number in numbers] == list(range(count))
    assert {len(rank) for rank in batches} == {len(loaders[0])}
    sizes = [len(numbers) for rank in batches for numbers in rank]
    assert min(sizes) >= 1
    assert max(sizes) <= batch + 1


@pytest.mark.parametrize("augment", [PLAIN, EVERYTHING], ids=["plain", "everything"])
def test_an_epoch_repeats_itself_whatever_came_before(numbered: Make, augment: AugmentConfig) -> None:
    first = TrainLoader(numbered(300), 64, augment, seed=5, max_epochs=10)
    first.set_epoch(2)
    expected = list(first)
    again = TrainLoader(numbered(300), 64, augment, seed=5, max_epochs=10)
    for epoch in (0, 1):
        again.set_epoch(epoch)
        next(iter(again))
    torch.rand(100)
    again.set_epoch(2)
    for (images, targets), (same_images, same_targets) in zip(expected, again, strict=True):
        assert torch.equal(images, same_images)
        assert torch.equal(targets, same_targets)


@pytest.mark.parametrize(("seed", "epoch"), [(5, 1), (6, 0)])
def test_another_seed_or_epoch_brings_another_order(numbered: Make, seed: int, epoch: int) -> None:
    loader = TrainLoader(numbered(300), 300, PLAIN, seed=5)
    other = TrainLoader(numbered(300), 300, PLAIN, seed=seed)
    other.set_epoch(epoch)
    assert seen(next(iter(loader))[0]) != seen(next(iter(other))[0])


def test_an_images_augmentation_does_not_depend_on_the_number_of_ranks(numbered: Make) -> None:
    varied = AugmentConfig(crop_padding=2, flip=True, cutout=3)
    alone = torch.cat([images for images, _ in TrainLoader(numbered(100), 20, varied, seed=0)])
    ranks = [TrainLoader(numbered(100), 20, varied, seed=0, rank=rank, world_size=2) for rank in (0, 1)]
    together = [images for steps in zip(*ranks, strict=True) for images, _ in steps]
    assert torch.equal(alone, torch.cat(together))


def test_labels_stay_with_their_images(numbered: Make) -> None:
    for images, labels in TrainLoader(numbered(300), 64, AugmentConfig(flip=True), seed=0):
        assert labels.tolist() == [number % 3 for number in seen(images)]


@pytest.mark.parametrize("augment", [PLAIN, EVERYTHING], ids=["plain", "everything"])
def test_batches_are_raw_pixels_in_channels_last(numbered: Make, augment: AugmentConfig) -> None:
    for images, _ in TrainLoader(numbered(300), 64, augment, seed=0):
        assert images.dtype == torch.uint8
        assert images.shape[1:] == (3, 8, 8)
        assert images.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("augment", [PLAIN, EVERYTHING], ids=["plain", "everything"])
def test_training_leaves_the_images_as_they_were(numbered: Make, augment: AugmentConfig) -> None:
    data = numbered(300)
    before = data.images.clone()
    for images, _ in TrainLoader(data, 64, augment, seed=0):
        images.zero_()
    assert torch.equal(data.images, before)


def test_mixing_ends_at_its_share_of_the_epochs(numbered: Make) -> None:
    loader = TrainLoader(numbered(30), 30, EVERYTHING, seed=0, max_epochs=10)
    kinds = []
    for epoch in range(10):
        loader.set_epoch(epoch)
        _, targets = next(iter(loader))
        kinds.append(targets.is_floating_point())
    assert kinds == [True] * 5 + [False] * 5


def test_cutout_paints_the_given_colour(numbered: Make) -> None:
    fill = torch.tensor([9.6, 20.0, 30.0])
    images, _ = next(iter(TrainLoader(numbered(30), 30, AugmentConfig(cutout=4), seed=0, fill=fill)))
    assert ((images == torch.tensor([10, 20, 30]).view(1, 3, 1, 1)).all(1).sum((1, 2)) >= 4).all()


def test_too_few_images_or_too_small_a_batch_for_the_devices_are_the_users_to_mend(numbered: Make) -> None:
    with pytest.raises(UserError, match="3 training images"):
        TrainLoader(numbered(3), 8, PLAIN, seed=0, world_size=2)
    with pytest.raises(UserError, match=r"data\.batch_size=4"):
        TrainLoader(numbered(30), 4, PLAIN, seed=0, world_size=4)
    with pytest.raises(UserError, match="2 devices"):
        EvalLoader(numbered(1), 10, world_size=2)


class CountedOperations(TorchDispatchMode):
    """Counts what PyTorch is asked to do, and refuses what would make a device wait for the host."""

    waits = ("aten._local_scalar_dense", "aten.nonzero", "aten.item", "aten.masked_select")

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        assert not str(func).startswith(self.waits), func
        self.count += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(("augment", "most"), [(PLAIN, 12), (AugmentConfig(crop_padding=4, flip=True), 40)])
def test_an_epoch_takes_few_operations_a_batch_and_never_waits_for_the_device(
    numbered: Make, augment: AugmentConfig, most: int
) -> None:
    loader = TrainLoader(numbered(12800, side=32), 128, augment, seed=0)
    with CountedOperations() as operations:
        for _ in loader:
            pass
    assert operations.count / len(loader) < most


def test_mixing_never_waits_for_the_device_either(numbered: Make) -> None:
    with CountedOperations():
        for _ in TrainLoader(numbered(300), 64, EVERYTHING, seed=0):
            pass

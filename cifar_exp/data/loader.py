"""Batches out of memory: no worker processes, no work for each image, no wait for the device.

Shapes: B images of a batch, C channels, H height, W width, K classes.
"""

from collections.abc import Iterator
from itertools import islice, pairwise

import torch
from torch import Tensor

from cifar_exp.data.augment import augment
from cifar_exp.data.draws import draw_epoch
from cifar_exp.data.images import ImageSet
from cifar_exp.data.settings import AugmentConfig
from cifar_exp.errors import UserError

Batch = tuple[Tensor, Tensor]
# Several batches are cut and augmented at once: as many as stay in a CPU's cache, more where launching
# kernels is what costs
BYTES_AT_ONCE_CPU = 2**20
BYTES_AT_ONCE = 16 * 2**20
STEPS_PER_EXECUTION = 16  # Keras' word: the optimizer steps of one call of `training_step`


class TrainLoader:
    """Shuffled, augmented batches; the contents of an epoch depend on (seed, epoch) alone.

    Yields images uint8 (B, C, H, W), channels_last, raw pixels 0–255, and targets: labels int64 (B,), or
    float probabilities (B, K) in the epochs with mixup or cutmix.

    Of every global batch each of `world_size` ranks takes its own part, so that together they see each image
    once per epoch, in as many steps. A remainder of fewer than two images a rank joins the last batch:
    batch norm cannot learn from one image.
    """

    def __init__(
        self,
        data: ImageSet,
        batch_size: int,
        augment: AugmentConfig,
        *,
        seed: int,
        max_epochs: int = -1,
        fill: Tensor | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        """See the class.

        Args:
            data: the images, on the training device.
            batch_size: images of a global batch, over all ranks.
            augment: what is done to them.
            seed: of order and augmentation.
            max_epochs: what `augment.mix_until` is a fraction of; below 1 means without end.
            fill: cutout's colour (C,) in 0–255, black if not given.
            rank: which part of each batch is taken.
            world_size: in how many parts each batch is split.

        Raises:
            UserError: fewer than two images for each rank, in all or in a batch.
        """
        if len(data) < 2 * world_size:
            raise UserError(
                f"there are {len(data)} training images, and {world_size} device(s) need 2 each "
                "(data.train_limit, data.val_fraction)."
            )
        if batch_size < 2 * world_size:
            raise UserError(
                f"data.batch_size={batch_size} is shared by {world_size} devices, and each needs 2 images: "
                f"at least {2 * world_size} are needed."
            )
        self.data = data
        self.augment = augment
        self.seed = seed
        self.max_epochs = max_epochs
        self.epoch = 0
        channels = data.images.shape[1]
        colour = torch.zeros(channels) if fill is None else fill.round()
        self._fill = colour.to(data.images.device, torch.uint8)
        bounds = _batch_bounds(len(data), batch_size, least=2 * world_size)
        parts = [torch.arange(*ends).tensor_split(world_size)[rank] for ends in pairwise(bounds)]
        self.batch_sizes = [len(part) for part in parts]
        self._mine = torch.cat(parts) if world_size > 1 else None

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, from 0, that the next iteration brings."""
        self.epoch = epoch

    @property
    def mixing(self) -> bool:
        """Whether mixup and cutmix, if asked for, are on in this epoch."""
        if self.max_epochs < 1:
            return self.augment.mix_until > 0
        return self.epoch < round(self.augment.mix_until * self.max_epochs)

    def __len__(self) -> int:
        return len(self.batch_sizes)

    def __iter__(self) -> Iterator[Batch]:
        pixels = self.data.pixels_NHWC
        draws = draw_epoch(
            self.augment,
            len(self.data),
            pixels.shape[1],
            seed=self.seed,
            epoch=self.epoch,
            mixing=self.mixing,
        )
        draws = (draws if self._mine is None else draws.rows(self._mine)).to(pixels.device)
        start = 0
        for sizes in self._batches_at_once():
            chunk = draws.rows(slice(start, start + sum(sizes)))
            start += sum(sizes)
            images, targets = augment(
                pixels.index_select(0, chunk.order),
                self.data.labels.index_select(0, chunk.order),
                chunk,
                len(self.data.class_names),
                self._fill,
            )
            yield from zip(images.permute(0, 3, 1, 2).split(sizes), targets.split(sizes), strict=True)

    def _batches_at_once(self) -> list[list[int]]:
        bytes_an_image = self.data.images[0].numel()
        bytes_at_once = BYTES_AT_ONCE_CPU if self.data.images.device.type == "cpu" else BYTES_AT_ONCE
        count = max(1, bytes_at_once // (bytes_an_image * max(self.batch_sizes)))
        return [self.batch_sizes[first : first + count] for first in range(0, len(self), count)]


class GroupedLoader:
    """A loader's batches in groups, as `training_step` takes them: Lightning's loop costs as much for one batch.

    Yields an iterator over the batches of each group. They are made when they are asked for, so a group has to be used
    up before the next one. Lightning takes any sized iterable for a loader; `sampler` is where it looks for
    `set_epoch`.
    """

    def __init__(
        self, loader: TrainLoader, limit: int | float | None = None, group_size: int = STEPS_PER_EXECUTION
    ) -> None:
        """`limit` is what Lightning's `limit_train_batches` is: batches per epoch, or a float, a fraction of them."""
        self.loader = loader
        self.sampler = loader
        self.group_size = group_size
        self.steps = len(loader)
        if limit is not None:
            self.steps = min(self.steps, limit) if isinstance(limit, int) else max(1, int(self.steps * limit))

    def __len__(self) -> int:
        return -(-self.steps // self.group_size)

    def __iter__(self) -> Iterator[Iterator[Batch]]:
        batches = islice(self.loader, self.steps)
        for _ in range(len(self)):
            yield islice(batches, self.group_size)


class EvalLoader:
    """The images in order, as they are, in batches of nearly equal size: each rank its own part.

    Yields images uint8 (B, C, H, W), channels_last, and labels int64 (B,), with B at most `batch_size`
    (2 where it is 1 and the ranks' parts differ).
    All ranks take as many steps.
    """

    def __init__(self, data: ImageSet, batch_size: int, *, rank: int = 0, world_size: int = 1) -> None:
        """`batch_size` is for each rank; raises UserError where there are fewer images than ranks."""
        if len(data) < world_size:
            raise UserError(f"{world_size} devices cannot share {len(data)} image(s) for validation or test.")
        self.data = data
        largest_part = -(-len(data) // world_size)
        count = min(-(-largest_part // batch_size), len(data) // world_size)
        images, labels = (one.tensor_split(world_size)[rank].tensor_split(count) for one in (data.images, data.labels))
        self._batches = list(zip(images, labels, strict=True))

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[Batch]:
        return iter(self._batches)


def _batch_bounds(count: int, batch_size: int, least: int) -> list[int]:
    """Return where batches begin, and the end; a last one of fewer than `least` images joins the one before."""
    bounds = [*range(0, count, batch_size), count]
    if len(bounds) > 2 and bounds[-1] - bounds[-2] < least:
        del bounds[-2]
    return bounds

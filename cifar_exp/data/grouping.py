"""Several batches at a time for Lightning's loop, which costs as much for a group as for one batch."""

from collections.abc import Iterator
from itertools import islice

from cifar_exp.data.loader import Batch, TrainLoader

STEPS_PER_EXECUTION = 16  # Keras' word: the optimizer steps of one call of `training_step`


class GroupedLoader:
    """A loader's batches in groups, as `training_step` takes them.

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
        self.steps = _limited(len(loader), limit)

    def __len__(self) -> int:
        return -(-self.steps // self.group_size)

    def __iter__(self) -> Iterator[Iterator[Batch]]:
        batches = islice(self.loader, self.steps)
        for _ in range(len(self)):
            yield islice(batches, self.group_size)


def _limited(count: int, limit: int | float | None) -> int:
    if limit is None:
        return count
    return min(count, limit) if isinstance(limit, int) else max(1, int(count * limit))

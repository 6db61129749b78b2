"""Counts what a training asks of PyTorch and of Python, rather than how long it takes: the same on every machine."""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any
from unittest.mock import patch

import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir
from torch.utils._python_dispatch import TorchDispatchMode

import cifar_exp
from cifar_exp.checks import check_train
from cifar_exp.config.location import conf_dir
from cifar_exp.runs.directory import RunDir
from cifar_exp.training.fit import Job

PACKAGE = str(Path(cifar_exp.__file__).parent)
READS = ("item", "tolist", "cpu", "numpy", "__bool__", "__float__", "__int__")
WAITS = {"aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::is_nonzero", "aten::equal"}
BASE = (
    "data=synthetic",
    "data.test_size=60",
    "data.num_classes=4",
    "trainer.accelerator=cpu",
    "trainer.devices=1",
    "trainer.enable_progress_bar=false",
    "trainer.max_epochs=2",
    "logger.mode=disabled",
)


class Operators(TorchDispatchMode):
    """Counts operators by name, and the random numbers that are drawn."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()
        self.drawn = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name
        result = func(*args, **(kwargs or {}))
        if name.startswith(("aten::rand", "aten::bernoulli", "aten::native_dropout")):
            self.drawn += (result[0] if isinstance(result, tuple) else result).numel()
        self.counts[name] += 1
        return result

    @property
    def total(self) -> int:
        """All operators that do something."""
        return sum(count for name, count in self.counts.items() if name != "aten::detach")

    @property
    def waits(self) -> int:
        """Those for which the host waits for a device's result."""
        return sum(count for name, count in self.counts.items() if name in WAITS)


@contextmanager
def reads_noted(reads: list[str]) -> Iterator[None]:
    """Adds to `reads` the name of each Tensor method that brings a value to the host."""

    def noting(name: str) -> Any:
        original = getattr(torch.Tensor, name)

        def note(self: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            reads.append(name)
            return original(self, *args, **kwargs)

        return patch.object(torch.Tensor, name, note)

    with ExitStack() as stack:
        for name in READS:
            stack.enter_context(noting(name))
        yield


class Epoch(pl.Callback):
    """Counts from an epoch's start to the end of its last step; the last epoch's counts remain."""

    def __init__(self) -> None:
        self._start()

    def _start(self, trainer: pl.Trainer | None = None) -> None:
        self._first_step = trainer.global_step if trainer else 0
        self.operators = Operators()
        self.reads: list[str] = []
        self.own_calls = 0  # of this package's functions
        self.calls = 0  # of any Python function
        self.steps = 0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._start(trainer)
        self._stack = ExitStack()
        self._stack.enter_context(self.operators)
        self._stack.enter_context(reads_noted(self.reads))

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        if batch_idx + 1 == trainer.num_training_batches:
            self._stack.close()
            self.steps = trainer.global_step - self._first_step


class Calls(Epoch):
    """Counts the calls of Python functions of an epoch instead."""

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._start(trainer)
        sys.setprofile(self._note)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        if batch_idx + 1 == trainer.num_training_batches:
            sys.setprofile(None)
            self.steps = trainer.global_step - self._first_step

    def _note(self, frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            self.calls += 1
            self.own_calls += frame.f_code.co_filename.startswith(PACKAGE)


def count(directory: Path, overrides: Sequence[str], counts: Epoch | None = None) -> Epoch:
    """What the second epoch of a training by the real Job asked for; its curves are not drawn."""
    counts = counts or Epoch()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = compose("train", [*BASE, *overrides])
    with patch("cifar_exp.training.fit.plot_curves"):
        Job(check_train(config), RunDir(directory), [counts]).train()
    return counts

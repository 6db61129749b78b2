"""A pipeline in a process of its own trains one epoch per request and reports how long it took.

A line on stdin starts an epoch; the reply is a line of JSON, once the pipeline is ready for the next one.
"""

import json
import os
import sys
import time
from dataclasses import asdict, dataclass

import torch
from pytorch_lightning import Callback, LightningModule, Trainer


@dataclass(frozen=True)
class Setting:
    """What every pipeline is given."""

    model: str
    device: str = "cpu"  # cpu | cuda
    precision: str = "32-true"
    batch_size: int = 128
    steps: int = 60  # of an epoch
    workers: int = 0  # of the usual pipeline's DataLoader
    compile: str | None = None  # torch.compile's mode, of ours

    @property
    def images(self) -> int:
        """Training images of an epoch."""
        return self.batch_size * self.steps


@dataclass(frozen=True)
class Epoch:
    """Seconds from an epoch's start, before its order is drawn, to the end of its last step, and to its very end."""

    images: int
    train_seconds: float
    all_seconds: float
    others: float = 0.0  # cores that other processes used meanwhile


class Gate:
    """A pipeline's side."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what others print is no answer
        self._started = self._trained = 0.0
        self._images = 0

    def begin(self) -> None:
        """Report the epoch before, and wait until the next one shall begin."""
        self._synchronise()
        ended = time.perf_counter()
        print(json.dumps(asdict(self._epoch(ended)) if self._started else "ready"), file=self._answers, flush=True)
        if not sys.stdin.readline():
            os._exit(0)  # nobody listens any more; a training has nothing else to leave
        self._images, self._started = 0, time.perf_counter()

    def trained(self, images: int) -> None:
        """Record that the epoch's last step has been made, over so many images in all."""
        self._synchronise()
        self._trained, self._images = time.perf_counter(), images

    def _epoch(self, ended: float) -> Epoch:
        return Epoch(self._images, self._trained - self._started, ended - self._started)

    def _synchronise(self) -> None:
        if self._device == "cuda":
            torch.cuda.synchronize()


class GateCallback(Callback):
    """Opens and closes the gate of a pipeline that Lightning runs."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._images = 0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._gate.begin()
        self._images = 0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        assert isinstance(batch, tuple | list)
        self._images += len(batch[1])
        if batch_idx + 1 == trainer.num_training_batches:
            self._gate.trained(self._images)

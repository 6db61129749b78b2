"""Train one network with a whole step (batch, forward, backward, update, average) as one CUDA graph.

The pieces are those of `cifar-exp train`: network, normalization, augmentation, draws, loss, Muon, one cycle, moving
average, validation after each epoch. What differs: a remainder of fewer images than a batch is left out of an epoch,
and nothing is written. On a processor the same steps run one operation at a time, with the project's own optimizer.

Shapes: B images of a batch, S steps of an epoch, C channels, H × W pixels.
"""

import time
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.search.graph_optimizer import EagerOptimizer, GraphOptimizer, one_cycle
from cifar_exp.config.schema import AdamWConfig, MuonConfig, OneCycleConfig, TrainConfig
from cifar_exp.data.augment import augment
from cifar_exp.data.draws import draw_epoch
from cifar_exp.data.images import ImageSet, channel_statistics
from cifar_exp.data.sources import load_train_val
from cifar_exp.inference.classifier import Classifier
from cifar_exp.network import Plan, build_network
from cifar_exp.training.distillation import Teacher

EAGER_STEPS = 3  # of a training, before its graph is captured
EVAL_BATCH = 5000
Figures = dict[str, float]
Waiting = Generator[Any, None, Figures]  # yields a CUDA event to wait for (None on a processor)


@dataclass(frozen=True)
class Data:
    """Training and validation images on the device."""

    train: ImageSet
    val: ImageSet
    mean: Tensor
    std: Tensor

    @classmethod
    def of(cls, config: TrainConfig, device: torch.device) -> "Data":
        """Load what `config.data` names."""
        train, val = load_train_val(config.data)
        mean, std = channel_statistics(train)
        return cls(train.to(device), val.to(device), mean.to(device), std.to(device))


class GraphTraining:
    """One training, as `config` describes it but for the model, which is `plan`."""

    def __init__(
        self, plan: Plan, config: TrainConfig, data: Data, seed: int, teacher: Teacher | None = None, pool: Any = None
    ) -> None:
        """`pool`: a handle of graph memory that earlier trainings of the same process have used and left."""
        scheduler = config.scheduler
        if not isinstance(scheduler, OneCycleConfig):
            raise ValueError(f"expected scheduler=onecycle, got {scheduler.name}")
        assert isinstance(config.optimizer, MuonConfig | AdamWConfig)
        self.config, self.data, self.seed, self.pool, self.teacher = config, data, seed, pool, teacher
        self.device = data.mean.device
        self.batch_size = min(config.data.batch_size, len(data.train))
        self.steps = len(data.train) // self.batch_size
        self.images_per_epoch = self.steps * self.batch_size
        self.stream = torch.cuda.Stream(self.device) if self.device.type == "cuda" else None
        torch.manual_seed(seed)
        with self._on_stream():
            network = Classifier(build_network(plan), data.mean, data.std)
            self.classifier = network.to(self.device).to(memory_format=torch.channels_last)
            self.averaged = deepcopy(self.classifier).eval().requires_grad_(requires_grad=False)
            optimizer = GraphOptimizer if self.device.type == "cuda" else EagerOptimizer
            self.optimizer = optimizer(self.classifier, config.optimizer)
            total = self.steps * config.trainer.max_epochs
            factors = one_cycle(total, scheduler.pct_start, scheduler.div_factor, scheduler.final_div_factor)
            self._factors = torch.tensor(factors, device=self.device)
            self._step_number = torch.zeros(1, dtype=torch.int64, device=self.device)
            self._position = torch.zeros(1, dtype=torch.int64, device=self.device)
            side = data.train.images.shape[2]
            shape = (self.steps, self.batch_size, side, side, data.train.images.shape[1])
            self._pixels_SBHWC = torch.empty(shape, dtype=torch.uint8, device=self.device)
            classes = (plan.num_classes,) if config.augment.mixes else ()
            kind = torch.float32 if classes else torch.int64
            self._targets_SB = torch.empty((*shape[:2], *classes), dtype=kind, device=self.device)
            self._train_loss = torch.zeros((), device=self.device)
            self._train_correct = torch.zeros((), dtype=torch.int64, device=self.device)
            self._val_loss = torch.zeros((), device=self.device)
            self._val_correct = torch.zeros((), dtype=torch.int64, device=self.device)
            if teacher is not None:
                teacher.prepare(self.device, None)
        self._graph: Any = None
        self._done = 0

    def epoch(self, number: int) -> Waiting:
        """Train epoch `number`, from 0, and return its figures: losses, and accuracies of the averaged weights."""
        with self._on_stream():
            self._draw(number)
            for counter in (self._position, self._train_loss, self._train_correct):
                counter.zero_()
            for _ in range(self.steps):
                self._advance()
            self._validate()
            event = self.stream.record_event() if self.stream is not None else None
        yield event
        return {
            "train/loss": self._train_loss.item() / self.steps,
            "train/acc": self._train_correct.item() / self.images_per_epoch,
            "val/loss": self._val_loss.item() / len(self.data.val),
            "val/acc": self._val_correct.item() / len(self.data.val),
        }

    def _advance(self) -> None:
        if self._graph is not None:
            self._graph.replay()
            return
        self._step()
        if self._done == 0:  # the average starts as the weights after the first step
            torch._foreach_copy_(self._averages(), self._values())
        self._done += 1
        if self.stream is not None and self._done == EAGER_STEPS:
            self.classifier.zero_grad(set_to_none=True)
            graph = torch.cuda.CUDAGraph()
            graph.capture_begin(pool=self.pool, capture_error_mode="thread_local")
            self._step()
            graph.capture_end()
            self._graph = graph

    def _step(self) -> None:
        pixels = self._pixels_SBHWC.index_select(0, self._position)[0].permute(0, 3, 1, 2)
        targets = self._targets_SB.index_select(0, self._position)[0]
        self.classifier.train()
        with self._autocast():
            logits = self.classifier(pixels)
            loss = F.cross_entropy(logits, targets, label_smoothing=self.config.loss.label_smoothing)
            if self.teacher is not None:
                loss = self.teacher.blend(loss, logits, pixels)
        self.classifier.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step(self._factors.index_select(0, self._step_number)[0])
        with torch.no_grad():
            decay = self.config.callbacks.ema.decay or 0.0
            torch._foreach_lerp_(self._averages(), self._values(), 1.0 - decay)
            labels = targets if targets.dim() == 1 else targets.argmax(dim=1)
            self._train_loss += loss
            self._train_correct += (logits.argmax(dim=1) == labels).sum()
            self._position += 1
            self._step_number += 1

    def _draw(self, number: int) -> None:
        """Fill the epoch's batches, all augmented at once."""
        train, config = self.data.train, self.config.augment
        side = train.images.shape[2]
        mixing = number < round(config.mix_until * self.config.trainer.max_epochs)
        draws = draw_epoch(config, len(train), side, seed=self.seed, epoch=number, mixing=mixing)
        draws = draws.rows(slice(0, self.images_per_epoch)).to(self.device)
        fill = self.data.mean.round().to(torch.uint8)
        images, targets = augment(
            train.pixels_NHWC.index_select(0, draws.order),
            train.labels.index_select(0, draws.order),
            draws,
            len(train.class_names),
            fill,
        )
        self._pixels_SBHWC.copy_(images.view_as(self._pixels_SBHWC))
        if config.mixes and targets.dim() == 1:
            targets = F.one_hot(targets, self._targets_SB.size(2)).float()
        self._targets_SB.copy_(targets.view_as(self._targets_SB))

    @torch.no_grad()
    def _validate(self) -> None:
        self._val_loss.zero_()
        self._val_correct.zero_()
        for pixels, labels in zip(
            self.data.val.images.split(EVAL_BATCH), self.data.val.labels.split(EVAL_BATCH), strict=True
        ):
            with self._autocast():
                logits = self.averaged(pixels)
            self._val_loss += F.cross_entropy(logits.float(), labels, reduction="sum")
            self._val_correct += (logits.argmax(dim=1) == labels).sum()

    def _values(self) -> list[Tensor]:
        return _floating(self.classifier)

    def _averages(self) -> list[Tensor]:
        return _floating(self.averaged)

    def _autocast(self) -> AbstractContextManager[Any]:
        is_half = self.config.trainer.precision == "bf16-mixed" or (
            self.config.trainer.precision == "auto" and self.device.type == "cuda"
        )
        return torch.autocast(self.device.type, torch.bfloat16, cache_enabled=False) if is_half else nullcontext()

    def _on_stream(self) -> AbstractContextManager[Any]:
        return torch.cuda.stream(self.stream) if self.stream is not None else nullcontext()


def _floating(module: torch.nn.Module) -> list[Tensor]:
    tensors: Iterator[Tensor] = (tensor.detach() for tensor in (*module.parameters(), *module.buffers()))
    return [tensor for tensor in tensors if tensor.is_floating_point()]


def finished(waiting: Generator[Any, None, Figures]) -> Figures:
    """Run a generator that yields CUDA events to its end and return what it returns."""
    while True:
        try:
            event = next(waiting)
        except StopIteration as stop:
            figures: Figures = stop.value
            return figures
        while event is not None and not event.query():
            time.sleep(0.001)  # where several processes share a GPU, their cores are not to spin

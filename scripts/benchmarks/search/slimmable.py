"""One training for all widths, then a search among the networks inside it.

A network of the largest widths is trained by the sandwich rule: the largest, the smallest and two random candidates
within the budget per step, all but the largest on its soft targets (universally slimmable networks, arXiv:1903.05134).
A candidate is a prefix of the channels of every layer; its batch norm statistics are computed anew. The sweep's
proposer then searches by the validation accuracy of the shared weights (AutoSlim, arXiv:1903.11728), and the best
candidate is trained alone by the recipe of the comparison's winners.

  PYTHONPATH=.:scripts python -m benchmarks.search.slimmable LANES/ours-0.json 0.333 OUTPUT.json

Compute is counted in multiply-accumulates: forward passes once, a training's forward and backward passes three times.
The limit is a fraction of the compute of a finished lane: `TRAINING` of it for the shared weights, the rest for the
search. Shapes: B images of a batch, C channels, H × W pixels.
"""

import json
import sys
import warnings
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from random import Random
from typing import Any

import torch
import torch.nn.functional as F
from scipy.stats import kendalltau  # type: ignore[import-untyped]
from torch import Tensor, nn
from torch.func import functional_call

from benchmarks.search.graph_optimizer import EagerOptimizer, one_cycle
from benchmarks.search.graph_training import Data
from benchmarks.search.lane import Task, Trainings, earlier
from benchmarks.search.methods import Method, SearchSpace
from cifar_exp.config.schema import OneCycleConfig, TrainConfig
from cifar_exp.data.augment import augment
from cifar_exp.data.draws import draw_epoch
from cifar_exp.files import write_text
from cifar_exp.inference.classifier import Classifier
from cifar_exp.network import Plan, build_network
from cifar_exp.sweep.search.space import Candidate

TRAINING = 0.7
CALIBRATION = 1024  # training images for the batch norm statistics of a candidate
HIDDEN = "model.head.hidden"


class SharedWeights:
    """The weights of the largest networks, with and without a hidden layer; their convolutions are the same."""

    def __init__(self, trainings: Trainings, data: Data, space: SearchSpace, seed: int) -> None:
        self._trainings, self._data, self._space, self._seed = trainings, data, space, seed
        self._config: TrainConfig = trainings.config
        self._random = Random(seed)
        torch.manual_seed(seed)
        with_hidden, without = (self._network(trainings.plan(self._end(-1, some))) for some in (True, False))
        without.network.layers = with_hidden.network.layers
        self._networks = nn.ModuleList([without, with_hidden])
        self._averaged = deepcopy(self._networks)
        optimizer = self._config.optimizer
        # The last dense layer of each gets AdamW.
        self._optimizers = [EagerOptimizer(part, optimizer) for part in (with_hidden, without.network.head)]

    def train(self, compute: float) -> float:
        """Train for at most `compute` and return what was used."""
        steps, used = [], 0.0
        while used < compute:
            some = self._random.random() < 0.5
            steps.append([self._end(-1, some), self._end(0, some), self._drawn(), self._drawn()])
            plans = [self._trainings.plan(one) for one in steps[-1]]
            used += 3 * sum(plan.macs for plan in plans) * self._config.data.batch_size
        scheduler = self._config.scheduler
        assert isinstance(scheduler, OneCycleConfig)
        factors = one_cycle(len(steps), scheduler.pct_start, scheduler.div_factor, scheduler.final_div_factor)
        decay = self._config.callbacks.ema.decay or 0.0
        for candidates, factor, (pixels, labels) in zip(steps, factors, self._batches(), strict=False):
            self._networks.zero_grad(set_to_none=True)
            self._backward(candidates, pixels, labels)
            for optimizer in self._optimizers:
                optimizer.step(torch.tensor(factor))
            with torch.no_grad():
                torch._foreach_lerp_([*self._averaged.parameters()], [*self._networks.parameters()], 1.0 - decay)
        return used

    def _backward(self, candidates: list[Candidate], pixels: Tensor, labels: Tensor) -> None:
        """The sandwich rule with in-place distillation; the largest candidate is the first."""
        soft: Tensor | None = None
        for candidate in candidates:
            network = self._network(self._trainings.plan(candidate)).train()
            logits = functional_call(network, self._prefixes(network, candidate, self._networks), (pixels,))
            if soft is None:
                loss = F.cross_entropy(logits, labels, label_smoothing=self._config.loss.label_smoothing)
                soft = logits.detach().softmax(dim=1)
            else:
                loss = F.cross_entropy(logits, soft)
            loss.backward()

    @torch.no_grad()
    def accuracy(self, candidate: Candidate) -> float:
        """Return the validation accuracy of a candidate with the averaged shared weights."""
        network = self._network(self._trainings.plan(candidate)).train()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.momentum = None  # the mean over all batches
        weights = self._prefixes(network, candidate, self._averaged)
        for pixels in self._data.train.images[:CALIBRATION].split(256):
            functional_call(network, weights, (pixels,))
        network.eval()
        batches = zip(self._data.val.images.split(512), self._data.val.labels.split(512), strict=True)
        correct = [(functional_call(network, weights, (x,)).argmax(dim=1) == y).sum().item() for x, y in batches]
        return sum(correct) / len(self._data.val)

    def _prefixes(self, network: nn.Module, candidate: Candidate, networks: nn.ModuleList) -> dict[str, Tensor]:
        largest = dict(networks[candidate[HIDDEN] != "[]"].named_parameters())
        shapes = {name: weight.shape for name, weight in network.named_parameters()}
        return {name: largest[name][tuple(slice(size) for size in shape)] for name, shape in shapes.items()}

    def _network(self, plan: Plan) -> Classifier:
        network = Classifier(build_network(plan), self._data.mean, self._data.std)
        return network.to(memory_format=torch.channels_last)

    def _end(self, place: int, has_hidden: bool) -> Candidate:
        """The smallest (0) or largest (-1) candidate."""
        ends = {key: swept.values[place] for key, swept in self._space.space.swept.items()}
        hidden = [one for one in self._space.space.swept[HIDDEN].values if (one != "[]") == has_hidden]
        return {**ends, HIDDEN: hidden[place]}

    def _drawn(self) -> Candidate:
        while True:
            drawn = {key: swept.draw(self._random) for key, swept in self._space.space.swept.items()}
            if self._space.pricer.price(drawn).fits:
                return drawn

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Augmented batches, (B, C, H, W) and (B,), epoch after epoch."""
        train, epoch = self._data.train, 0
        fill = self._data.mean.round().to(torch.uint8)
        while True:
            draws = draw_epoch(
                self._config.augment, len(train), train.images.shape[2], seed=self._seed, epoch=epoch, mixing=False
            )
            images, labels = train.pixels_NHWC[draws.order], train.labels[draws.order]
            images, labels = augment(images, labels, draws, len(train.class_names), fill)
            size = self._config.data.batch_size
            batches = zip(images.permute(0, 3, 1, 2).split(size), labels.split(size), strict=True)
            yield from (batch for batch in batches if len(batch[1]) == size)
            epoch += 1


def search(lane: Path, fraction: float, output: Path) -> None:
    """Search at a fraction of the compute of `lane`, a finished one; write what is known after each part."""
    record = json.loads(lane.read_text(encoding="utf-8"))
    task = Task(**record["task"])
    space = SearchSpace(task.widths, task.fixed, task.fill)
    trainings = Trainings(space, [*task.fixed, *task.trial], task.seed)
    data = Data.of(trainings.config, torch.device("cpu"))
    per_epoch = 3 * trainings.images_per_epoch + len(data.val)
    limit = fraction * sum(trial["macs"] * len(trial["curve"]) * per_epoch for trial in record["trials"])
    shared = SharedWeights(trainings, data, space, task.seed)
    used = shared.train(TRAINING * limit)
    found: dict[str, Any] = {"lane": lane.name, "limit": limit, "training": used}

    method, ranked = Method("ours", space, task.seed), []
    while used < limit and (trial := method.propose()) is not None:
        accuracy = shared.accuracy(trial.params)
        method.finish(trial, accuracy, is_pruned=False)
        ranked.append((accuracy, trial.params))
        used += trainings.plan(trial.params).macs * (CALIBRATION + len(data.val))
    winner = max(ranked, key=lambda one: one[0])[1]
    found |= {"search": used - found["training"], "candidates": ranked}
    write_text(output, json.dumps(found, indent=1))

    known, finals = earlier(task, lane.parent)
    full = {key: max(curve) for key, curve in known.items() if len(curve) == trainings.epochs}
    pairs = [(shared.accuracy(json.loads(key)), accuracy) for key, accuracy in full.items()]
    found |= {"pairs": pairs, "tau": kendalltau(*zip(*pairs, strict=True)).statistic}
    write_text(output, json.dumps(found, indent=1))

    final = finals.get(json.dumps(winner, sort_keys=True))
    final = final or Trainings(space, [*task.fixed, *task.final], task.seed).tested(winner)
    write_text(output, json.dumps({**found, "final": final, "final of the lane": record["final"]}, indent=1))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    search(Path(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3]))

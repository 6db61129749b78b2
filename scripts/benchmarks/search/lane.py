"""One search by one method, with one seed, on real trainings until its budget of trained images is used up.

python -m benchmarks.search.lane OUTPUT.json '{"method": "ours", "seed": 0, …}'   (see `Task`)

A training depends on the network, the recipe and the seed alone, so one that another lane (or this one, before it was
interrupted) has already made is read from its file. Its images count as if it had been trained again.
"""

import json
import sys
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import optuna
import torch

import cifar_exp as ce
from benchmarks.search.graph_training import Data, GraphTraining, finished
from benchmarks.search.methods import KERAS_TUNER, RAY_TUNE, Method, SearchSpace
from cifar_exp.data.sources import load_test
from cifar_exp.files import write_text
from cifar_exp.inference.classifier import chosen_device
from cifar_exp.network import Plan
from cifar_exp.sweep.search.space import Candidate


@dataclass
class Task:
    """What a lane does."""

    method: str
    seed: int
    widths: dict[str, str]
    fill: str
    trials: int  # the budget: the images that so many full trials train on
    trial: list[str]  # overrides of a trial's training
    final: list[str] = field(default_factory=list)  # of the winner's; none: the winner is not trained again
    fixed: list[str] = field(default_factory=list)  # of every candidate's model


class Trainings:
    """Trainings of candidates by one recipe with one seed."""

    def __init__(self, space: SearchSpace, overrides: list[str], seed: int) -> None:
        self._space, self._seed = space, seed
        self.config = ce.compose(overrides)
        device = chosen_device(self.config.trainer.accelerator)
        self._data = Data.of(self.config, device)
        self._pool = torch.cuda.graph_pool_handle() if device.type == "cuda" else None
        self.epochs = self.config.trainer.max_epochs
        batch_size = min(self.config.data.batch_size, len(self._data.train))
        self.images_per_epoch = len(self._data.train) // batch_size * batch_size

    def started(self, candidate: Candidate) -> GraphTraining:
        """Return the training of a candidate before its first epoch."""
        return GraphTraining(self.plan(candidate), self.config, self._data, self._seed, pool=self._pool)

    def plan(self, candidate: Candidate) -> Plan:
        """Return the network of a candidate for the images at hand."""
        channels, height, width = self._data.train.images.shape[1:]
        return self._space.plan(candidate, (channels, height, width), len(self._data.train.class_names))

    def accuracies(self, candidate: Candidate, known: list[float]) -> Iterator[float]:
        """Yield the validation accuracy after each epoch; nothing is trained before the `known` ones are used up."""
        yield from known
        if len(known) < self.epochs:
            training = self.started(candidate)
            for epoch in range(self.epochs):
                accuracy = finished(training.epoch(epoch))["val/acc"]
                if epoch >= len(known):
                    yield accuracy

    def tested(self, candidate: Candidate) -> dict[str, Any]:
        """Train a candidate; test the weights with the best validation accuracy once."""
        training = self.started(candidate)
        curve: list[float] = []
        best: dict[str, torch.Tensor] = {}
        for epoch in range(self.epochs):
            accuracy = finished(training.epoch(epoch))["val/acc"]
            if accuracy > max(curve, default=-1.0):
                best = {key: value.clone() for key, value in training.averaged.state_dict().items()}
            curve.append(accuracy)
        training.averaged.load_state_dict(best)
        test = load_test(self.config.data).to(training.device)
        correct = 0
        with torch.inference_mode():
            for pixels, labels in zip(test.images.split(1000), test.labels.split(1000), strict=True):
                correct += int((training.averaged(pixels).argmax(dim=1) == labels).sum())
        plan = self.plan(candidate)
        costs = {"cost": plan.params, "macs": plan.macs}
        return {"params": candidate, **costs, "curve": curve, "val": max(curve), "test": correct / len(test)}


class Record:
    """What a lane has done, in a file that is written after each trial."""

    def __init__(self, task: Task, trainings: Trainings, output: Path) -> None:
        self._trainings, self._output = trainings, output
        self._cost_of_trial = trainings.epochs * trainings.images_per_epoch
        self._budget = task.trials * self._cost_of_trial
        self.content: dict[str, Any] = {
            "task": asdict(task),
            "trials": [],
            "images": 0,
            "epochs": trainings.epochs,
            "rejected": 0,
        }

    @property
    def is_used_up(self) -> bool:
        """Whether the images that are left are too few for another full trial."""
        images: int = self.content["images"]
        return images + self._cost_of_trial > self._budget

    def add(self, candidate: Candidate, curve: list[float], is_pruned: bool, rejected: int) -> None:
        """Add a trial; `rejected`: candidates over the budget so far."""
        plan = self._trainings.plan(candidate)
        self.content["images"] += len(curve) * self._trainings.images_per_epoch
        trial = {"params": candidate, "cost": plan.params, "macs": plan.macs, "curve": curve, "pruned": is_pruned}
        self.content["trials"].append({**trial, "images": self.content["images"]})
        self.content["rejected"] = rejected
        self.write()

    @property
    def winner(self) -> Candidate:
        """The full trial with the best validation accuracy."""
        full = [trial for trial in self.content["trials"] if not trial["pruned"]]
        winner: Candidate = max(full, key=lambda trial: max(trial["curve"]))["params"]
        return winner

    def write(self) -> None:
        """Write the file."""
        write_text(self._output, json.dumps(self.content))


def search(task: Task, output: Path) -> dict[str, Any]:
    """Run the task, writing what is known after each trial."""
    space = SearchSpace(task.widths, task.fixed, task.fill)
    trainings = Trainings(space, [*task.fixed, *task.trial], task.seed)
    curves, finals = earlier(task, output.parent)
    record = Record(task, trainings, output)
    if task.method == RAY_TUNE:
        from benchmarks.search.with_ray_tune import search_with_ray_tune

        search_with_ray_tune(task, space, record)
    elif task.method == KERAS_TUNER:
        from benchmarks.search.with_keras_tuner import search_with_keras_tuner

        search_with_keras_tuner(task, space, trainings, record)
    else:
        search_with_optuna(task, space, trainings, record, curves)
    if task.final:
        known = finals.get(_key(record.winner))
        final = known or Trainings(space, [*task.fixed, *task.final], task.seed).tested(record.winner)
        record.content["final"] = final
    record.write()
    return record.content


def search_with_optuna(
    task: Task, space: SearchSpace, trainings: Trainings, record: Record, curves: dict[str, list[float]]
) -> None:
    """Search by one of the methods on Optuna; what is known of a candidate by `curves` is not trained again."""
    method = Method(task.method, space, task.seed)
    while not record.is_used_up and (trial := method.propose()) is not None:
        curve: list[float] = []
        is_pruned = False
        for accuracy in trainings.accuracies(trial.params, curves.get(_key(trial.params), [])):
            curve.append(accuracy)
            is_pruned = method.is_over(trial, len(curve) - 1, accuracy) and len(curve) < trainings.epochs
            if is_pruned:
                break
        method.finish(trial, max(curve), is_pruned)
        record.add(trial.params, curve, is_pruned, method.rejected)


def earlier(task: Task, directory: Path) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Return the curves and the final trainings, by candidate, that lanes of the same seed and recipe have left."""
    curves: dict[str, list[float]] = {}
    finals: dict[str, Any] = {}
    for file in directory.glob(f"*-{task.seed}.json"):
        record = json.loads(file.read_text(encoding="utf-8"))
        of_lane = Task(**record["task"])
        if (of_lane.seed, of_lane.fixed, of_lane.trial) != (task.seed, task.fixed, task.trial):
            continue
        for trial in record["trials"]:
            key = _key(trial["params"])
            curves[key] = max(curves.get(key, []), trial["curve"], key=len)
        if "final" in record and of_lane.final == task.final:
            finals[_key(record["final"]["params"])] = record["final"]
    return curves, finals


def _key(candidate: Candidate) -> str:
    return json.dumps(candidate, sort_keys=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    search(Task(**json.loads(sys.argv[2])), Path(sys.argv[1]))

"""One search by one method, with one seed, on real trainings until its budget of trained images is used up.

python -m benchmarks.search.lane OUTPUT.json '{"method": "ours", "seed": 0, …}'   (see `Task`)
"""

import json
import sys
import time
import warnings
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import optuna
import torch

import cifar_exp as ce
from benchmarks.search.graph_training import Data, GraphTraining, finished
from benchmarks.search.methods import Method, SearchSpace
from cifar_exp.inference.device import chosen_device
from cifar_exp.network import Plan


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


def search(task: Task, output: Path) -> dict[str, Any]:
    """Run the task, writing what is known after each trial."""
    space = SearchSpace(task.widths, task.fixed, task.fill)
    method = Method(task.method, space, task.seed)
    config = ce.compose([*task.fixed, *task.trial])
    device = chosen_device(config.trainer.accelerator)
    data = Data.of(config, device)
    pool = torch.cuda.graph_pool_handle() if device.type == "cuda" else None
    epochs = config.trainer.max_epochs
    record: dict[str, Any] = {"task": asdict(task), "trials": [], "images": 0, "epochs": epochs}
    cost_of_trial = epochs * (len(data.train) // config.data.batch_size) * config.data.batch_size
    started = time.time()
    while record["images"] + cost_of_trial <= task.trials * cost_of_trial:
        trial = method.propose()
        if trial is None:
            break
        plan = space.plan(trial.params)
        training = GraphTraining(plan, config, data, task.seed, pool=pool)
        curve: list[float] = []
        is_pruned = False
        for epoch in range(epochs):
            curve.append(finished(training.epoch(epoch))["val/acc"])
            is_pruned = method.is_over(trial, epoch, curve[-1]) and epoch + 1 < epochs
            if is_pruned:
                break
        method.finish(trial, max(curve), is_pruned)
        record["images"] += len(curve) * training.images_per_epoch
        record["trials"].append(
            {
                "params": trial.params,
                "cost": plan.params,
                "macs": plan.macs,
                "curve": curve,
                "pruned": is_pruned,
                "images": record["images"],
                "seconds": round(time.time() - started, 2),
            }
        )
        record["rejected"] = method.rejected
        output.write_text(json.dumps(record), encoding="utf-8")
    if task.final:
        record["final"] = retrained(space.plan(method.study.best_params), [*task.fixed, *task.final], task.seed, pool)
        output.write_text(json.dumps(record), encoding="utf-8")
    return record


def retrained(plan: Plan, overrides: list[str], seed: int, pool: Any) -> dict[str, Any]:
    """Train a winner; test the weights with the best validation accuracy once."""
    from cifar_exp.data.sources import load_test

    config = ce.compose(overrides)
    device = chosen_device(config.trainer.accelerator)
    data = Data.of(config, device)
    training = GraphTraining(plan, config, data, seed, pool=pool)
    curve: list[float] = []
    best: dict[str, torch.Tensor] = {}
    for epoch in range(config.trainer.max_epochs):
        accuracy = finished(training.epoch(epoch))["val/acc"]
        if accuracy > max(curve, default=-1.0):
            best = {key: value.clone() for key, value in training.averaged.state_dict().items()}
        curve.append(accuracy)
    training.averaged.load_state_dict(best)
    test = load_test(config.data).to(device)
    correct = 0
    with torch.inference_mode():
        for pixels, labels in zip(test.images.split(1000), test.labels.split(1000), strict=True):
            correct += int((training.averaged(pixels).argmax(dim=1) == labels).sum())
    return {"params": plan.params, "macs": plan.macs, "curve": curve, "val": max(curve), "test": correct / len(test)}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    search(Task(**json.loads(sys.argv[2])), Path(sys.argv[1]))

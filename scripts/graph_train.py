"""Train a recipe with each step as one CUDA graph, for GPUs that outrun the processor beside them.

  python scripts/graph_train.py RUN experiment=best50k data=folder data.root=IMAGES distill.teacher=TEACHER seed=1

The overrides are those of `cifar-exp train`, and so are the pieces (see benchmarks/search/graph_training.py). RUN gets
`result.json`, `metrics.csv` and `best.ckpt`, which `cifar-exp eval`, `predict` and `export` take.
"""

import csv
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from benchmarks.search.graph_training import Data, GraphTraining, finished

import cifar_exp as ce
from cifar_exp.config.schema import TrainConfig
from cifar_exp.data.sources import load_test
from cifar_exp.files import write_json
from cifar_exp.inference.classifier import DESCRIPTION, WEIGHTS, chosen_device, description, load_trained
from cifar_exp.inference.evaluation import evaluate
from cifar_exp.training.distillation import Teacher

EVAL_BATCH = 500


def train(config: TrainConfig, run: Path, command: str) -> dict[str, Any]:
    """Train, test the weights with the best validation accuracy once, and return `result.json`."""
    plan, started = ce.plan(config), time.time()
    device = chosen_device(config.trainer.accelerator)
    data = Data.of(config, device)
    teacher = None
    if config.distill.teacher is not None:
        teacher = Teacher(config.distill, load_trained(ce.load_run(config.distill.teacher).checkpoint).classifier)
    training = GraphTraining(plan, config, data, config.seed, teacher)
    run.mkdir(parents=True, exist_ok=True)
    about = description(config.model.model_dump(exclude_unset=True), plan, data.train.class_names)
    rows: list[dict[str, float]] = []
    for number in range(config.trainer.max_epochs):
        epoch_started = time.time()
        figures = finished(training.epoch(number))
        rows.append({"epoch": number, **figures, "seconds": time.time() - epoch_started})
        if figures["val/acc"] > max((row["val/acc"] for row in rows[:-1]), default=-1.0):
            weights = {WEIGHTS + key: value.cpu() for key, value in training.averaged.state_dict().items()}
            torch.save({DESCRIPTION: about, "state_dict": weights}, run / "best.ckpt")
        with (run / "metrics.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, rows[0])
            table.writeheader()
            table.writerows(rows)
    best = max(rows, key=lambda row: row["val/acc"])
    test = _tested(config, run, device)
    result = {
        "status": "finished",
        "model": plan.name,
        "params": plan.params,
        "trainable_params": plan.trainable_params,
        "macs": plan.macs,
        "peak_activation_bytes": plan.peak_activation_bytes,
        "data": config.data.name,
        "seed": config.seed,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "precision": config.trainer.precision,
        "total_seconds": time.time() - started,
        "epochs": len(rows),
        "train/acc": best["train/acc"],
        "val/acc": best["val/acc"],
        **test,
        "seconds_per_epoch": median(row["seconds"] for row in rows[1:] or rows),
        "command": command,
    }
    write_json(run / "result.json", result)
    return result


def _tested(config: TrainConfig, run: Path, device: torch.device) -> dict[str, float]:
    images = load_test(config.data).to(device)
    classifier = load_trained(run / "best.ckpt").classifier.to(device)
    batches = zip(images.images.split(EVAL_BATCH), images.labels.split(EVAL_BATCH), strict=True)
    outcome = evaluate(classifier, batches, images.class_names)
    return {"test/acc": outcome.accuracy, "test/loss": outcome.loss}


def shown_command(overrides: Sequence[str]) -> str:
    """Return the command with `IMAGES` and `TEACHER` for their places."""
    shown = []
    for override in overrides:
        key, _, value = override.partition("=")
        places = {"data.root": "IMAGES", "distill.teacher": "TEACHER"}
        shown.append(f"{key}={places.get(key, value)}")
    return " ".join(["python scripts/graph_train.py RUN", *shown])


if __name__ == "__main__":
    directory, *given = sys.argv[1:]
    outcome = train(ce.compose(given), Path(directory), shown_command(given))
    print(json.dumps(outcome, indent=2))

"""A run that takes a second: a small part of the synthetic images, a network of a few thousand parameters."""

import csv
import json
from pathlib import Path
from typing import Any

from cifar_exp import TrainConfig, compose

TINY = (
    "data=synthetic",
    "data.train_size=300",
    "data.test_size=60",
    "data.num_classes=4",
    "data.batch_size=50",
    "model=model2",
    "trainer.accelerator=cpu",
    "trainer.enable_progress_bar=false",
    "logger.mode=disabled",
    *(f"model.layers.conv{index}.channels=8" for index in range(1, 8)),
    "model.head.hidden=[]",
)
# Enough images and epochs to learn the classes
LEARNING = (
    *(key for key in TINY if "size" not in key and "channels" not in key),
    "data.train_size=800",
    "data.test_size=100",
    "data.batch_size=40",
    "model.head.hidden=[32]",
    "optimizer.lr=0.01",
    "trainer.max_epochs=5",
)


def result(run: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((run / "result.json").read_text())
    return document


def metrics(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def figures(run: Path) -> list[list[str]]:
    """The rows of `metrics.csv` without the timings."""
    timings = ("seconds", "images_per_second")
    return [[value for key, value in row.items() if key not in timings] for row in metrics(run)]


def tiny_config(*overrides: str) -> TrainConfig:
    return compose([*TINY, *overrides])

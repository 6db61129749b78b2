"""`cifar-exp eval`: tests a finished run's best weights again, on any data source."""

import math
from typing import Any

from cifar_exp.cli.tables import figures_table, note_unfinished, show
from cifar_exp.config.command_schema import EvalConfig
from cifar_exp.data.describe import describe
from cifar_exp.data.loader import EvalLoader
from cifar_exp.data.settings import DataConfig
from cifar_exp.data.sources import load_test
from cifar_exp.errors import RunFailedError
from cifar_exp.files import json_text
from cifar_exp.inference.classifier import chosen_device
from cifar_exp.inference.evaluation import Evaluation, evaluate
from cifar_exp.network import check_budget
from cifar_exp.runs.run import Run

CLASSES_SHOWN = 20  # more make a confusion matrix that is wider than a terminal


def main(checked: tuple[EvalConfig, Run, DataConfig]) -> None:
    """Print the figures of the test, or with `format=json` one JSON document."""
    plain, flipped = test(*checked)
    if checked[0].format == "json":
        print(json_text(document(plain, flipped)))
    else:
        show_evaluation(plain, flipped)


def test(config: EvalConfig, run: Run, data: DataConfig) -> tuple[Evaluation, Evaluation]:
    """Return the predictions for all test images, as they are and averaged with those for their mirror images."""
    note_unfinished(run)
    trained, device = run.model(config.accelerator), chosen_device(config.accelerator)
    check_budget(trained.plan, config.budget)
    trained.check_fits(data.name, describe(data))
    loader = EvalLoader(load_test(data).to(device), data.eval_batch_size)
    plain, flipped = (evaluate(trained.classifier, loader, trained.class_names, flip) for flip in (False, True))
    if not math.isfinite(plain.loss + flipped.loss):
        raise RunFailedError(f"the test loss of {run.checkpoint} is not finite")
    return plain, flipped


def document(plain: Evaluation, flipped: Evaluation) -> dict[str, Any]:
    """Return the figures that `format=json` prints, those with flip averaging too."""
    averaged = {f"{key}_flip": value for key, value in flipped.document().items() if key.startswith("test/")}
    return {**plain.document(), **averaged}


def show_evaluation(evaluation: Evaluation, flipped: Evaluation) -> None:
    """Print accuracy and calibration, per-class accuracy, and the confusion matrix."""
    names = list(evaluation.class_names)
    both = (evaluation, flipped)
    figures = [
        ["test accuracy", *(f"{one.accuracy:.2%}" for one in both)],
        ["test loss", *(f"{one.loss:.4f}" for one in both)],
        ["expected calibration error", *(f"{one.calibration_error:.2%}" for one in both)],
    ]
    classes = [[name, *(f"{one.class_accuracy[name]:.2%}" for one in both)] for name in names]
    columns = ["as it is", "flip averaged"]
    tables = [
        figures_table(f"Test, {len(evaluation.labels):,} images", ["", *columns], figures),
        figures_table("Per-class accuracy", ["class", *columns], classes),
    ]
    if len(names) <= CLASSES_SHOWN:
        confusion = [[name, *map(str, row)] for name, row in zip(names, evaluation.confusion.tolist(), strict=True)]
        short = [name[:4] for name in names]
        columns = ["true class", *(short if len(set(short)) == len(names) else names)]
        tables.append(figures_table("Confusion: true class by predicted class", columns, confusion))
    show(*tables)

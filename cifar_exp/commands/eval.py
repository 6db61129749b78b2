"""`cifar-exp eval`: tests a finished run's best weights again, on any data source."""

import json
from typing import Any

from omegaconf import DictConfig

from cifar_exp.commands.tables import figures_table, result_table, show
from cifar_exp.config.check import CheckedEval, check_eval
from cifar_exp.data.module import CifarData
from cifar_exp.errors import UserError
from cifar_exp.training.classifier import chosen_device, load_trained
from cifar_exp.training.evaluation import Evaluation, evaluate


def main(cfg: DictConfig) -> None:
    """Prints what the test found, or with `format=json` one JSON document."""
    checked = check_eval(cfg)
    evaluation = test(checked)
    if checked.config.format == "json":
        print(json.dumps(document(evaluation), indent=2))
    else:
        show_evaluation(evaluation)


def test(checked: CheckedEval) -> Evaluation:
    """Answers all test images of the checked data source."""
    trained = load_trained(checked.run.checkpoint)
    info = checked.data_info
    if info.input_shape != trained.plan.input_shape or tuple(info.class_names) != trained.class_names:
        raise UserError(
            f"data={checked.data.name}: {info.num_classes} classes of images {list(info.input_shape)}, but the run was "
            f"trained on {len(trained.class_names)} classes of images {list(trained.plan.input_shape)}."
        )
    data = CifarData(checked.data, checked.run.config.augment, seed=0)
    data.setup("test")
    device = chosen_device(checked.config.accelerator)
    batches = ((pixels.to(device), labels.to(device)) for pixels, labels in data.test_dataloader())
    return evaluate(trained.classifier.to(device), batches, trained.class_names)


def document(evaluation: Evaluation) -> dict[str, Any]:
    """The answers as contract section 2 has them."""
    return {
        "test/acc": evaluation.accuracy,
        "test/loss": evaluation.loss,
        "class_acc": evaluation.class_accuracy,
        "confusion": evaluation.confusion.tolist(),
    }


def show_evaluation(evaluation: Evaluation) -> None:
    """Accuracy, then accuracy a class, then who was taken for whom."""
    names = list(evaluation.class_names)
    summary = [("test accuracy", f"{evaluation.accuracy:.2%}"), ("test loss", f"{evaluation.loss:.4f}")]
    classes = [[name, f"{share:.2%}"] for name, share in evaluation.class_accuracy.items()]
    tables = [result_table("Test", summary), figures_table("Accuracy a class", ["class", "accuracy"], classes)]
    if len(names) <= 20:
        confusion = [[name, *map(str, row)] for name, row in zip(names, evaluation.confusion.tolist(), strict=True)]
        columns = ["true \\ answered", *(name[:6] for name in names)]
        tables.append(figures_table("Confusion", columns, confusion))
    show(*tables)

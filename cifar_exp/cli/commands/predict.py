"""`cifar-exp predict`: classifies one image file, or every image in a directory."""

import json
from pathlib import Path

from rich.markup import escape

from cifar_exp.cli.tables import bar, figures_table, note, show
from cifar_exp.config.command_schema import PredictConfig
from cifar_exp.data.folder import image_suffixes
from cifar_exp.errors import UserError
from cifar_exp.files import users_choice, write_json
from cifar_exp.inference.classifier import load_trained
from cifar_exp.inference.device import chosen_device
from cifar_exp.inference.prediction import Predictions, predict
from cifar_exp.network import check_budget
from cifar_exp.runs.run import Run


def main(checked: tuple[PredictConfig, Run]) -> None:
    """Prints the top classes, or with `format=json` one JSON document; writes the picture."""
    config, run = checked
    files = image_files(Path(config.image))
    trained = load_trained(run.checkpoint)
    check_budget(trained.plan, config.budget)
    predictions = predict(trained, files, chosen_device(config.accelerator))
    if config.format == "json":
        print(json.dumps(predictions.document(), indent=2))
    else:
        show_predictions(predictions)
    if config.output is not None:
        with users_choice(Path(config.output)):
            write_json(Path(config.output), predictions.document())
        note(f"JSON document: {config.output}")
    if config.picture is not None:
        from cifar_exp.plots.predictions import draw_predictions

        with users_choice(Path(config.picture)):
            draw_predictions(Path(config.picture), predictions)
        note(f"picture: {config.picture}")


def image_files(path: Path) -> list[Path]:
    """`path` itself, or the image files in it and below it, sorted; raises UserError where there are none."""
    if path.is_file():
        return [path]
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in image_suffixes() and is_shown(file, path))
    if not files:
        raise UserError(f"image={path}: no image in this directory (.jpg, .png, or another file that Pillow reads).")
    return files


def is_shown(file: Path, below: Path) -> bool:
    """Whether neither the file nor a directory on the way to it is hidden."""
    return file.is_file() and not any(part.startswith(".") for part in file.relative_to(below).parts)


def show_predictions(predictions: Predictions) -> None:
    """The top classes of one image; the answers to several."""
    if len(predictions.files) == 1:
        rows = [[name, f"[cyan]{bar(share)}[/cyan]", f"{share:.2%}"] for name, share in predictions.top(0)]
        show(figures_table(escape(str(predictions.files[0])), ["class", "", "probability"], rows, text_columns=2))
        return
    rows = []
    for position, file in enumerate(predictions.files):
        (name, share), *others = predictions.top(position, 2)
        second = " ".join(f"{other} {less:.1%}" for other, less in others)
        rows.append([escape(str(file)), name, f"[cyan]{bar(share, width=12)}[/cyan]", f"{share:.2%}", second])
    columns = ["image", "class", "", "probability", "then"]
    show(figures_table(f"{len(rows):,} images", columns, rows, text_columns=3))

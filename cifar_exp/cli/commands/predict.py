"""`cifar-exp predict`: classify one image file, or every image in a directory."""

from pathlib import Path

from cifar_exp.cli.tables import Cell, bar, figures_table, note, show
from cifar_exp.config.command_schema import PredictConfig
from cifar_exp.data.folder import image_suffixes
from cifar_exp.errors import UserError
from cifar_exp.files import json_text, users_choice, write_json
from cifar_exp.inference.classifier import load_trained
from cifar_exp.inference.device import chosen_device
from cifar_exp.inference.prediction import Predictions, predict
from cifar_exp.network import check_budget
from cifar_exp.runs.run import Run

DEFAULT_PICTURE = PredictConfig.model_fields["picture"].default


def main(checked: tuple[PredictConfig, Run]) -> None:
    """Print the top classes, or with `format=json` one JSON document; write the picture."""
    config, run = checked
    files = image_files(Path(config.image))
    trained = load_trained(run.checkpoint)
    check_budget(trained.plan, config.budget)
    predictions = predict(trained, files, chosen_device(config.accelerator))
    if config.format == "json":
        print(json_text(predictions.document()))
    else:
        show_predictions(predictions)
    if config.output is not None:
        with users_choice(Path(config.output)):
            write_json(Path(config.output), predictions.document())
        note(f"JSON document: {config.output}")
    if config.picture is not None:
        draw_picture(config.picture, predictions)


def draw_picture(path: str, predictions: Predictions) -> None:
    """Write the picture. One that the user did not ask for is worth no error where it cannot be drawn or written."""
    from cifar_exp.plots.predictions import draw_predictions

    try:
        with users_choice(Path(path)):
            draw_predictions(Path(path), predictions)
    except Exception as error:  # of matplotlib's many
        if path != DEFAULT_PICTURE:
            raise
        note(f"no picture: {error}")
    else:
        note(f"picture: {path}")


def image_files(path: Path) -> list[Path]:
    """Return `path` itself, or the image files in it and below it, sorted. Raises UserError where there are none."""
    if path.is_file():
        return [path]
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in image_suffixes() and is_shown(file, path))
    if not files:
        raise UserError(f"image={path}: no image in this directory (.jpg, .png, or another file that Pillow reads).")
    return files


def is_shown(file: Path, below: Path) -> bool:
    """Return whether neither the file nor a directory on the way to it is hidden."""
    return file.is_file() and not any(part.startswith(".") for part in file.relative_to(below).parts)


def show_predictions(predictions: Predictions) -> None:
    """Print the top classes of one image, or the prediction of each of several."""
    if len(predictions.files) == 1:
        top: list[list[Cell]] = [[name, bar(one), f"{one:.2%}"] for name, one in predictions.top(0)]
        show(figures_table(str(predictions.files[0]), ["class", "", "probability"], top, text_columns=2))
        return
    rows: list[list[Cell]] = []
    for position, file in enumerate(predictions.files):
        (name, first), *others = predictions.top(position, 2)
        second = " ".join(f"{other} {less:.1%}" for other, less in others)
        rows.append([str(file), name, bar(first, width=12), f"{first:.2%}", second])
    columns = ["image", "class", "", "probability", "then"]
    show(figures_table(f"{len(rows):,} images", columns, rows, text_columns=3))

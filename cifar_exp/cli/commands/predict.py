"""`cifar-exp predict`: classify one image file, or every image in a directory."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from cifar_exp.cli.tables import Cell, bar, figures_table, note, note_unfinished, show
from cifar_exp.config.command_schema import PredictConfig
from cifar_exp.data.decode import decode_files
from cifar_exp.data.folder import image_suffixes
from cifar_exp.errors import UserError
from cifar_exp.files import json_text, users_choice, write_json
from cifar_exp.inference.classifier import Prediction
from cifar_exp.network import check_budget
from cifar_exp.runs.run import Run

DEFAULT_PICTURE = PredictConfig.model_fields["picture"].default


def main(checked: tuple[PredictConfig, Run]) -> None:
    """Print the top classes, or with `format=json` one JSON document; write the picture."""
    config, run = checked
    files = image_files(Path(config.image))
    for path in (config.output, config.picture if config.picture != DEFAULT_PICTURE else None):
        check_target(path, files)
    note_unfinished(run)
    trained = run.model(config.accelerator)
    check_budget(trained.plan, config.budget)
    images = decode_files([str(file) for file in files], trained.plan.input_shape[1])  # (N, H, W, C)
    predictions = trained.predictions(torch.from_numpy(images).permute(0, 3, 1, 2))
    found = list(zip(files, predictions, strict=True))
    document = [{"image": str(file), "class": one.label, "probabilities": one.probabilities} for file, one in found]
    if config.format == "json":
        print(json_text(document))
    else:
        show_predictions(found)
    if config.output is not None:
        with users_choice(Path(config.output)):
            write_json(Path(config.output), document)
        note(f"JSON document: {config.output}")
    if config.picture is not None:
        draw_picture(config.picture, found, images)


def draw_picture(path: str, found: Sequence[tuple[Path, Prediction]], images: np.ndarray) -> None:
    """Write the picture. One that the user did not ask for is worth no error where it cannot be drawn or written."""
    from cifar_exp.plots.predictions import draw_predictions

    try:
        check_target(path, [file for file, _ in found])
        with users_choice(Path(path)):
            draw_predictions(Path(path), found, images)
    except Exception as error:  # of matplotlib's many
        if path != DEFAULT_PICTURE:
            raise
        note(f"no picture: {error}")
    else:
        note(f"picture: {path}")


def check_target(path: str | None, files: Sequence[Path]) -> None:
    """Raise UserError where what is written to `path` would replace one of the images."""
    if path is not None and Path(path).resolve() in {file.resolve() for file in files}:
        raise UserError(f"{path} is one of the images, which would be replaced. Choose another file.")


def image_files(path: Path) -> list[Path]:
    """Return `path` itself, or the image files in it and below it, sorted. Raises UserError where there are none."""
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in image_suffixes() and is_shown(file, path))
    if not files:
        raise UserError(f"image={path}: no image in this directory (.jpg, .png, or another file that Pillow reads).")
    return files


def is_shown(file: Path, below: Path) -> bool:
    """Return whether neither the file nor a directory on the way to it is hidden."""
    return file.is_file() and not any(part.startswith(".") for part in file.relative_to(below).parts)


def show_predictions(found: Sequence[tuple[Path, Prediction]]) -> None:
    """Print the top classes of one image, or the prediction of each of several."""
    if len(found) == 1:
        ((file, prediction),) = found
        top: list[list[Cell]] = [[name, bar(one), f"{one:.2%}"] for name, one in prediction.top()]
        show(figures_table(str(file), ["class", "", "probability"], top, text_columns=2))
        return
    rows: list[list[Cell]] = []
    for file, prediction in found:
        (name, first), *others = prediction.top(2)
        second = " ".join(f"{other} {less:.1%}" for other, less in others)
        rows.append([str(file), name, bar(first, width=12), f"{first:.2%}", second])
    columns = ["image", "class", "", "probability", "then"]
    show(figures_table(f"{len(rows):,} images", columns, rows, text_columns=3))

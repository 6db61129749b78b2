"""Pictures of images with their predictions: those of `predict`, and the errors of a test."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from cifar_exp.data.decode import to_rgb, upright, without_pillow_warnings
from cifar_exp.inference.classifier import Prediction
from cifar_exp.inference.evaluation import Evaluation
from cifar_exp.plots.chart import middle_cut
from cifar_exp.plots.figure import literal, new_figure, pixels, save

PREDICTED, OTHER, INK = "#2a78b5", "#a9c4d8", "#3d3d3d"
COLUMNS, MOSAIC_COLUMNS = 5, 6
IMAGES_SHOWN = 50
NAME_LENGTH, FILE_LENGTH = 14, 28
THUMBNAIL = 512


def draw_predictions(path: Path, found: Sequence[tuple[Path, Prediction]], images: np.ndarray) -> None:
    """Write one picture: of one image with its top classes, or of the first 50 of several with their predictions.

    Args:
        path: of the picture.
        found: the N image files with their predictions.
        images: what the network received, uint8 (N, H, W, C).
    """
    figure = new_figure(10, 3.6)
    if len(found) == 1:
        _draw_one(figure, *found[0], images[0])
    else:
        _draw_several(figure, found, images)
    save(figure, path, dpi=150)


def mosaic_of_errors(test: Evaluation, images: Tensor) -> np.ndarray | None:
    """Return one picture, uint8 (H, W, 3), of the most confidently wrong predictions; None where all are right.

    Args:
        test: the predictions and labels of N images.
        images: these images, uint8 (N, C, H, W).
    """
    worst = test.most_wrong(MOSAIC_COLUMNS**2)
    if not len(worst):
        return None
    rows = -(-len(worst) // MOSAIC_COLUMNS)
    figure = new_figure(1.9 * MOSAIC_COLUMNS, 2.2 * rows, layout=None)
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.02 / rows, top=1 - 0.18 / rows, hspace=0.3, wspace=0.06)
    probabilities = test.logits[worst].softmax(dim=1)
    names = [_shortened(name) for name in test.class_names]
    for place, (position, probability) in enumerate(zip(worst.tolist(), probabilities, strict=True), start=1):
        predicted = int(probability.argmax())
        title = f"{names[int(test.labels[position])]}\n→ {names[predicted]} {probability[predicted]:.0%}"
        axes = figure.add_subplot(rows, MOSAIC_COLUMNS, place)
        _show(axes, images[position].permute(1, 2, 0).cpu().numpy(), title, fontsize=10)
    return pixels(figure)


def _draw_one(figure: Any, file: Path, prediction: Prediction, image: np.ndarray) -> None:
    original, seen, bars = figure.subplots(1, 3, width_ratios=(1, 1, 1.2))
    _show(original, _thumbnail(file), "image")
    height, width = image.shape[:2]
    _show(seen, image, f"input of the network: {height} × {width} pixels")
    top = prediction.top()
    names, fractions = [_shortened(name) for name, _ in top], [one for _, one in top]
    drawn = bars.barh(range(len(top)), fractions, color=[PREDICTED, *[OTHER] * (len(top) - 1)], height=0.7)
    bars.bar_label(drawn, [f"{one:.1%}" for one in fractions], padding=4, color=INK)
    bars.set_yticks(range(len(top)), names)
    bars.invert_yaxis()
    bars.set_xlim(0, 1.22)
    bars.set_xticks([])
    bars.set_box_aspect(0.85)
    bars.tick_params(length=0)
    bars.spines[["top", "right", "bottom"]].set_visible(False)
    bars.set_title(f"prediction: {literal(top[0][0])}", fontsize=11)


def _draw_several(figure: Any, found: Sequence[tuple[Path, Prediction]], images: np.ndarray) -> None:
    count = min(len(found), IMAGES_SHOWN)
    columns = min(COLUMNS, count)
    rows = -(-count // columns)
    figure.set_size_inches(2.1 * columns, 2.5 * rows + (0.3 if count < len(found) else 0))
    for place, ((file, prediction), image) in enumerate(zip(found[:count], images, strict=False), start=1):
        axes = figure.add_subplot(rows, columns, place)
        _show(axes, image, f"{_shortened(prediction.label)} {prediction.probabilities[prediction.label]:.0%}")
        axes.text(
            0.5, -0.04, literal(middle_cut(file.name, FILE_LENGTH)), transform=axes.transAxes,
            ha="center", va="top", fontsize=7, color="#777777",
        )  # fmt: skip
    if count < len(found):
        figure.supxlabel(f"the first {count} of {len(found):,} images", fontsize=9, color="#777777")


def _show(axes: Any, image: np.ndarray, title: str, fontsize: int = 11) -> None:
    axes.imshow(image, interpolation="nearest")
    axes.set_title(title, fontsize=fontsize)
    axes.set_axis_off()


def _thumbnail(file: Path) -> np.ndarray:
    with without_pillow_warnings(), Image.open(file) as image:
        image.draft("RGB", (THUMBNAIL, THUMBNAIL))
        shown = to_rgb(upright(image))
        shown.thumbnail((THUMBNAIL, THUMBNAIL))
        return np.asarray(shown)


def _shortened(name: str) -> str:
    """Return a class's name, cut where it is too long for a caption."""
    return literal(name if len(name) <= NAME_LENGTH else name[: NAME_LENGTH - 1] + "…")

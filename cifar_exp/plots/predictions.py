"""The picture of a prediction: the image, the input of the network, and its predictions."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cifar_exp.data.decode import upright, without_pillow_warnings
from cifar_exp.inference.prediction import Predictions
from cifar_exp.plots.figure import literal, new_figure, save
from cifar_exp.plots.tracking_pictures import shortened

PREDICTED, OTHER, INK = "#2a78b5", "#a9c4d8", "#3d3d3d"
COLUMNS = 5
IMAGES_SHOWN = 50
THUMBNAIL = 512


def draw_predictions(path: Path, predictions: Predictions) -> None:
    """Write one picture: of one image with its top classes, or of the first 50 of several with their predictions."""
    figure = new_figure(10, 3.6)
    if len(predictions.files) == 1:
        _draw_one(figure, predictions)
    else:
        _draw_several(figure, predictions)
    save(figure, path, dpi=150)


def _draw_one(figure: Any, predictions: Predictions) -> None:
    original, seen, bars = figure.subplots(1, 3, width_ratios=(1, 1, 1.2))
    _show(original, _thumbnail(predictions.files[0]), "image")
    height, width = predictions.images.shape[2:]
    _show(seen, _pixels(predictions, 0), f"input of the network: {height} × {width} pixels")
    top = predictions.top(0)
    names, fractions = [shortened(name) for name, _ in top], [one for _, one in top]
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


def _draw_several(figure: Any, predictions: Predictions) -> None:
    count = min(len(predictions.files), IMAGES_SHOWN)
    columns = min(COLUMNS, count)
    rows = -(-count // columns)
    figure.set_size_inches(2.1 * columns, 2.5 * rows + (0.3 if count < len(predictions.files) else 0))
    for position in range(count):
        axes = figure.add_subplot(rows, columns, position + 1)
        name, fraction = predictions.top(position, 1)[0]
        _show(axes, _pixels(predictions, position), f"{shortened(name)} {fraction:.0%}")
        axes.text(
            0.5, -0.04, _middle_cut(predictions.files[position].name), transform=axes.transAxes,
            ha="center", va="top", fontsize=7, color="#777777",
        )  # fmt: skip
    if count < len(predictions.files):
        figure.supxlabel(f"the first {count} of {len(predictions.files):,} images", fontsize=9, color="#777777")


def _show(axes: Any, pixels: np.ndarray, title: str) -> None:
    axes.imshow(pixels, interpolation="nearest")
    axes.set_title(title, fontsize=11)
    axes.set_axis_off()


def _pixels(predictions: Predictions, position: int) -> np.ndarray:
    """Return the input of the network as an image (H, W, C)."""
    return predictions.images[position].permute(1, 2, 0).numpy()


def _thumbnail(file: Path) -> np.ndarray:
    with without_pillow_warnings(), Image.open(file) as image:
        image.draft("RGB", (THUMBNAIL, THUMBNAIL))
        shown = upright(image)
        if shown.mode.startswith("I") or shown.mode == "F":  # beyond 8 bits: stretched to the visible range
            levels = np.asarray(shown, dtype=np.float64)
            levels = (levels - levels.min()) / max(float(np.ptp(levels)), 1.0)
            shown = Image.fromarray((levels * 255).astype(np.uint8))
        shown.thumbnail((THUMBNAIL, THUMBNAIL))
        return np.asarray(shown.convert("RGBA"))


def _middle_cut(name: str, length: int = 28) -> str:
    half = length // 2
    return literal(name if len(name) <= length else f"{name[: half - 1]}…{name[-half:]}")

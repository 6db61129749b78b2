"""Pictures of test images with their predictions."""

import numpy as np
from torch import Tensor

from cifar_exp.inference.evaluation import Evaluation
from cifar_exp.plots.figure import literal, new_figure, pixels

COLUMNS = 6
ERRORS = COLUMNS * COLUMNS
NAME_LENGTH = 14


def shortened(name: str) -> str:
    """Return a class's name, cut where it is too long for a caption."""
    return literal(name if len(name) <= NAME_LENGTH else name[: NAME_LENGTH - 1] + "…")


def mosaic_of_errors(test: Evaluation, images: Tensor) -> np.ndarray | None:
    """Return one picture, uint8 (H, W, 3), of the most confidently wrong predictions; None where all are right.

    Args:
        test: the predictions and labels of N images.
        images: these images, uint8 (N, C, H, W).
    """
    worst = test.most_wrong(ERRORS)
    if not len(worst):
        return None
    rows = -(-len(worst) // COLUMNS)
    figure = new_figure(1.9 * COLUMNS, 2.2 * rows, layout=None)
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.02 / rows, top=1 - 0.18 / rows, hspace=0.3, wspace=0.06)
    probabilities = test.logits[worst].softmax(dim=1)
    names = [shortened(name) for name in test.class_names]
    for place, (position, probability) in enumerate(zip(worst.tolist(), probabilities, strict=True), start=1):
        axes = figure.add_subplot(rows, COLUMNS, place)
        axes.imshow(images[position].permute(1, 2, 0).cpu().numpy(), interpolation="nearest")
        predicted = int(probability.argmax())
        axes.set_title(
            f"{names[int(test.labels[position])]}\n→ {names[predicted]} {probability[predicted]:.0%}", fontsize=10
        )
        axes.set_axis_off()
    return pixels(figure)

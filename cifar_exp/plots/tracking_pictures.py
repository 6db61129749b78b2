"""Pictures of test images with the answers they got."""

import numpy as np
from torch import Tensor

from cifar_exp.inference.evaluation import Evaluation

COLUMNS = 6
MISTAKES = COLUMNS * COLUMNS
NAME_LENGTH = 14


def shortened(name: str) -> str:
    """A class's name, cut where it is too long for a caption."""
    return name if len(name) <= NAME_LENGTH else name[: NAME_LENGTH - 1] + "…"


def mosaic_of_mistakes(test: Evaluation, images: Tensor) -> np.ndarray | None:
    """One picture, uint8 (H, W, 3), of the most confidently wrong answers with their labels; None without mistakes.

    `images`: uint8 (N, C, H, W), those that `test` answers.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    worst = test.most_wrong(MISTAKES)
    if not len(worst):
        return None
    rows = -(-len(worst) // COLUMNS)
    figure = Figure(figsize=(1.9 * COLUMNS, 2.2 * rows), dpi=100)
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.02 / rows, top=1 - 0.18 / rows, hspace=0.3, wspace=0.06)
    canvas = FigureCanvasAgg(figure)
    shares = test.logits[worst].softmax(dim=1)
    names = [shortened(name) for name in test.class_names]
    for place, (position, share) in enumerate(zip(worst.tolist(), shares, strict=True), start=1):
        axes = figure.add_subplot(rows, COLUMNS, place)
        axes.imshow(images[position].permute(1, 2, 0).cpu().numpy(), interpolation="nearest")
        answer = int(share.argmax())
        axes.set_title(f"{names[int(test.labels[position])]}\n→ {names[answer]} {share[answer]:.0%}", fontsize=10)
        axes.set_axis_off()
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()

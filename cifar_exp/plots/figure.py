"""Figures that become files, without a window, and the literal text in them."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cifar_exp.files import atomic

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure


def without_window() -> None:
    """Configure matplotlib before it is imported, in a process that shows no window.

    A notebook's MPLBACKEND may not exist here; a home that is missing or read-only is no news.
    """
    os.environ["MPLBACKEND"] = "agg"
    logging.getLogger("matplotlib").setLevel(logging.ERROR)


def new_figure(width: float, height: float, layout: Literal["constrained"] | None = "constrained") -> "Figure":
    """Return an empty figure of `width` × `height` inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout=layout)


def save(figure: "Figure", path: Path, dpi: int) -> None:
    """Write a figure in the format of the path's suffix. Raises OSError where it cannot be written."""
    with atomic(path) as temporary, _boxes_for_unknown_letters():
        figure.set_dpi(dpi)
        layout = figure.get_layout_engine()
        if layout is not None:
            layout.execute(figure)
            figure.set_layout_engine(None)  # with one, matplotlib draws the figure twice
        figure.savefig(temporary, dpi=dpi)


def pixels(figure: "Figure") -> "np.ndarray":
    """Return a figure as uint8 (H, W, 3)."""
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    with _boxes_for_unknown_letters():
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


@contextmanager
def _boxes_for_unknown_letters() -> Iterator[None]:
    """Draw a box for a letter that no font has, without a warning for each."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        yield


def literal(name: str) -> str:
    """Return `name` such that matplotlib draws it as it is.

    It would take two dollar signs for a formula, and it rejects undecodable bytes of a file's name.
    """
    return name.encode("utf-8", "backslashreplace").decode("utf-8").replace("$", r"\$")

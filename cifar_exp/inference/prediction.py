"""The predictions of a trained network for image files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cifar_exp.data.decode import decode_files
from cifar_exp.errors import RunFailedError
from cifar_exp.inference.classifier import TrainedNetwork

TOP_CLASSES = 5


@dataclass(frozen=True)
class Predictions:
    """The predictions for N images of K classes."""

    files: Sequence[Path]
    images: Tensor  # uint8 (N, C, H, W), as the network saw them
    probabilities: Tensor  # float (N, K)
    class_names: Sequence[str]

    @property
    def classes(self) -> list[str]:
        """The most probable class of each image."""
        return [self.class_names[index] for index in self.probabilities.argmax(dim=1).tolist()]

    def top(self, position: int, count: int = TOP_CLASSES) -> list[tuple[str, float]]:
        """Return the most probable classes of an image with their probabilities."""
        fractions, indices = self.probabilities[position].topk(min(count, len(self.class_names)))
        return [(self.class_names[index], one) for index, one in zip(indices.tolist(), fractions.tolist(), strict=True)]

    def document(self) -> list[dict[str, Any]]:
        """Return the predictions as `predict format=json` prints them."""
        return [
            {"image": str(file), "class": name, "probabilities": dict(zip(self.class_names, row, strict=True))}
            for file, name, row in zip(self.files, self.classes, self.probabilities.tolist(), strict=True)
        ]


def predict(trained: TrainedNetwork, files: Sequence[Path], device: torch.device) -> Predictions:
    """Return the predictions for image files, each brought to the input size as training images are.

    Raises UserError naming a file that cannot be read, and RunFailedError for an output that is not finite.
    """
    pixels_NHWC = decode_files([str(file) for file in files], trained.plan.input_shape[1])  # noqa: N806
    images = torch.from_numpy(pixels_NHWC).permute(0, 3, 1, 2)
    probabilities = trained.to(device)(images).softmax(dim=1)
    if not probabilities.isfinite().all():
        raise RunFailedError("the network's output is not finite")
    return Predictions(files, images, probabilities, trained.class_names)

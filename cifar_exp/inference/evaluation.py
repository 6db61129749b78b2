"""The predictions of a trained network on labelled images, and how good they are."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics.functional.classification import multiclass_calibration_error, multiclass_confusion_matrix

from cifar_exp.inference.classifier import Classifier

CALIBRATION_BINS = 15


@dataclass(frozen=True)
class Evaluation:
    """The predictions for N images of K classes, on the CPU."""

    logits: Tensor  # float (N, K)
    labels: Tensor  # int64 (N,)
    class_names: Sequence[str]

    @property
    def loss(self) -> float:
        """Mean cross entropy."""
        return F.cross_entropy(self.logits, self.labels).item()

    @property
    def accuracy(self) -> float:
        """Fraction of correct predictions."""
        return (self.logits.argmax(dim=1) == self.labels).double().mean().item()

    @property
    def confusion(self) -> Tensor:
        """Images by true class (rows) and predicted class (columns): int64 (K, K)."""
        return multiclass_confusion_matrix(self.logits.argmax(dim=1), self.labels, len(self.class_names))

    @property
    def class_accuracy(self) -> dict[str, float]:
        """Fraction of correct predictions among the images of each class; 0 where there are none."""
        confusion = self.confusion.double()
        fractions = (confusion.diagonal() / confusion.sum(dim=1).clamp(min=1)).tolist()
        return dict(zip(self.class_names, fractions, strict=True))

    @property
    def calibration_error(self) -> float:
        """Expected calibration error (Guo et al. 2017, section 2): how far confidence is from accuracy.

        The mean over images of |accuracy − mean confidence| of the image's bin, of 15 equally wide bins.
        """
        probabilities = self.logits.double().softmax(dim=1)
        return multiclass_calibration_error(
            probabilities, self.labels, len(self.class_names), n_bins=CALIBRATION_BINS
        ).item()

    def most_wrong(self, count: int) -> Tensor:
        """Return the positions of the most confident wrong predictions, the worst first: int64 (at most `count`,)."""
        confidence, predicted = self.logits.softmax(dim=1).max(dim=1)
        wrong = (predicted != self.labels).nonzero().flatten()
        return wrong[confidence[wrong].argsort(descending=True, stable=True)[:count]]

    def document(self) -> dict[str, Any]:
        """Return the figures as plain data: what `eval format=json` prints."""
        return {
            "test/acc": self.accuracy,
            "test/loss": self.loss,
            "test/ece": self.calibration_error,
            "class_acc": self.class_accuracy,
            "confusion": self.confusion.tolist(),
        }


def evaluate(
    classifier: Classifier, batches: Iterable[tuple[Tensor, Tensor]], class_names: Sequence[str], flip: bool = False
) -> Evaluation:
    """Return the predictions for batches of raw pixels (B, C, H, W) and labels (B,) on the classifier's device.

    With `flip`, the logits are the mean of the log-probabilities of the image and of its mirror image.
    """
    classifier.eval()
    logits, labels = [], []
    with torch.inference_mode():
        for pixels, targets in batches:
            found = classifier(pixels).float()
            if flip:
                found = (found.log_softmax(1) + classifier(pixels.flip(3)).float().log_softmax(1)) / 2
            logits.append(found)
            labels.append(targets)
    return Evaluation(torch.cat(logits).cpu(), torch.cat(labels).cpu(), class_names)

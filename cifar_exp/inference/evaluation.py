"""What a trained network answers, and how good the answers are."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cifar_exp.inference.classifier import Classifier

CALIBRATION_BINS = 15


@dataclass(frozen=True)
class Evaluation:
    """The answers to N images of K classes, on the CPU."""

    logits: Tensor  # float (N, K)
    labels: Tensor  # int64 (N,)
    class_names: Sequence[str]

    @property
    def loss(self) -> float:
        """Mean cross entropy."""
        return F.cross_entropy(self.logits, self.labels).item()

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return (self.logits.argmax(dim=1) == self.labels).double().mean().item()

    @property
    def confusion(self) -> Tensor:
        """Images by true class (rows) and answered class (columns): int64 (K, K)."""
        classes = len(self.class_names)
        pairs = self.labels * classes + self.logits.argmax(dim=1)
        return torch.bincount(pairs, minlength=classes**2).view(classes, classes)

    @property
    def class_accuracy(self) -> dict[str, float]:
        """Share of right answers among the images of each class; 0 where there are none."""
        confusion = self.confusion.double()
        shares = (confusion.diagonal() / confusion.sum(dim=1).clamp(min=1)).tolist()
        return dict(zip(self.class_names, shares, strict=True))

    @property
    def calibration_error(self) -> float:
        """Expected calibration error (Guo et al. 2017, section 2): how far confidence is from accuracy.

        The mean over images of |accuracy − mean confidence| of the image's bin, of 15 equally wide bins.
        """
        confidence, answers = self.logits.double().softmax(dim=1).max(dim=1)
        right = (answers == self.labels).double()
        bins = (confidence * CALIBRATION_BINS).ceil().long().clamp(1, CALIBRATION_BINS) - 1
        surplus = torch.zeros(CALIBRATION_BINS, dtype=torch.float64).index_add(0, bins, right - confidence)
        return (surplus.abs().sum() / len(right)).item()

    def most_wrong(self, count: int) -> Tensor:
        """Positions of the wrong answers given with most confidence, the worst first: int64 (at most `count`,)."""
        confidence, answers = self.logits.softmax(dim=1).max(dim=1)
        wrong = (answers != self.labels).nonzero().flatten()
        return wrong[confidence[wrong].argsort(descending=True, stable=True)[:count]]

    def document(self) -> dict[str, Any]:
        """The figures as plain data, with the names of contract section 2."""
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
    """Answers batches of raw pixels (B, C, H, W) and labels (B,), which are on the classifier's device.

    With `flip`, an answer is the mean of the log-probabilities of the image and of its mirror image.
    """
    classifier.eval()
    logits, labels = [], []
    with torch.inference_mode():
        for pixels, targets in batches:
            answer = classifier(pixels).float()
            if flip:
                answer = (answer.log_softmax(1) + classifier(pixels.flip(3)).float().log_softmax(1)) / 2
            logits.append(answer)
            labels.append(targets)
    return Evaluation(torch.cat(logits).cpu(), torch.cat(labels).cpu(), class_names)

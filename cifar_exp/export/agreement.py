"""How far another runtime's logits are from PyTorch's."""

from dataclasses import dataclass

import torch
from torch import Tensor

from cifar_exp.inference.classifier import Classifier

IMAGES_AT_ONCE = 250
TOLERANCE = 1e-3  # of the largest logit; other orders of the same sums give 1e-5


@dataclass(frozen=True)
class Agreement:
    """Two runtimes' logits of the same images."""

    images: int
    greatest_difference: float  # of a logit
    mean_difference: float
    same_predictions: float  # fraction of the images with the same most probable class
    largest_logit: float  # of PyTorch's, whatever its sign

    @classmethod
    def of(cls, expected: Tensor, given: Tensor) -> "Agreement":
        """Return the agreement of logits (N, K)."""
        same = (expected.argmax(dim=1) == given.argmax(dim=1)).double().mean().item()
        difference = (expected - given).abs()
        largest = expected.abs().max().item()
        return cls(len(expected), difference.max().item(), difference.mean().item(), same, largest)

    @property
    def is_close(self) -> bool:
        """Whether the difference is one of float32's rounding; that of an infinite or undefined logit never is."""
        return self.greatest_difference <= TOLERANCE * max(1.0, self.largest_logit)


def torch_logits(classifier: Classifier, images: Tensor) -> Tensor:
    """Return the float logits (N, K) that PyTorch computes of images uint8 (N, C, H, W)."""
    with torch.inference_mode():
        return torch.cat([classifier(some) for some in images.split(IMAGES_AT_ONCE)])


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Return the fraction of the logits (N, K) whose largest is that of the label (N,)."""
    return (logits.argmax(dim=1) == labels).double().mean().item()

"""How far another runtime's answers are from PyTorch's."""

from dataclasses import dataclass

import torch
from torch import Tensor

from cifar_exp.training.classifier import Classifier

IMAGES_AT_ONCE = 250


@dataclass(frozen=True)
class Agreement:
    """Two runtimes' answers to the same images."""

    images: int
    greatest_difference: float  # of a logit
    mean_difference: float
    same_answers: float  # share of images with the same most probable class

    @classmethod
    def of(cls, expected: Tensor, given: Tensor) -> "Agreement":
        """Of logits (N, K)."""
        same = (expected.argmax(dim=1) == given.argmax(dim=1)).double().mean().item()
        difference = (expected - given).abs()
        return cls(len(expected), difference.max().item(), difference.mean().item(), same)


def torch_answers(classifier: Classifier, images: Tensor) -> Tensor:
    """What PyTorch answers to images uint8 (N, C, H, W): float (N, K)."""
    with torch.inference_mode():
        return torch.cat([classifier(some) for some in images.split(IMAGES_AT_ONCE)])


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Share of right answers among logits (N, K) for labels (N,)."""
    return (logits.argmax(dim=1) == labels).double().mean().item()

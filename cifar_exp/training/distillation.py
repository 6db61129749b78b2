"""Knowledge distillation: a network learns from the soft targets of a trained one besides the labels.

Shapes: B images of a batch, C channels, H × W pixels, K classes.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from cifar_exp.config.schema import DistillConfig
from cifar_exp.inference.classifier import Classifier


class Teacher:
    """A trained classifier that receives the same augmented images as its student; it never changes.

    No module, so that a student's parameters and checkpoints are its own alone.
    """

    def __init__(self, config: DistillConfig, classifier: Classifier) -> None:
        self.config = config
        self.classifier = classifier.eval().requires_grad_(requires_grad=False)
        self._soft_logits: Callable[[Tensor], Tensor] = self.classifier

    def prepare(self, device: torch.device, compile_mode: str | None) -> None:
        """Move to the student's device; `compile_mode` is torch.compile's."""
        self.classifier.to(device)
        if compile_mode is not None:
            self._soft_logits = torch.compile(self.classifier.forward, mode=compile_mode, dynamic=False)

    def logits(self, pixels: Tensor) -> Tensor:
        """Return the logits (B, K) for raw pixels 0–255 (B, C, H, W)."""
        with torch.no_grad():
            return self._soft_logits(pixels)

    def blend(self, loss: Tensor, logits: Tensor, pixels: Tensor) -> Tensor:
        """Return the weighted mean () of the loss from labels and that from soft targets, for logits (B, K)."""
        weight, temperature = self.config.weight, self.config.temperature
        return (1 - weight) * loss + weight * distillation_loss(logits, self.logits(pixels), temperature)


def distillation_loss(logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """Return the divergence of a student's softened predictions from its teacher's (Hinton et al. 2015, section 2).

    KL(teacher ‖ student), the mean over the images, of both logits (B, K) divided by `temperature`; times its square,
    which keeps the gradient's size.
    """
    student, teacher = (F.log_softmax(each.float() / temperature, dim=1) for each in (logits, teacher_logits))
    return F.kl_div(student, teacher, reduction="batchmean", log_target=True) * temperature**2

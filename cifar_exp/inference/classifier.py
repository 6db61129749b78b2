"""A network together with the normalisation that it was trained with, and how both are read from a checkpoint."""

import os
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from cifar_exp.data.decode import Picture, decode_image
from cifar_exp.data.describe import DataInfo
from cifar_exp.errors import RunFailedError, UserError
from cifar_exp.network import ModelSpec, Plan, build_network, plan_network

DESCRIPTION = "cifar_exp"  # the checkpoint's key for what `TrainedNetwork` needs beside the weights
WEIGHTS = "classifier."  # the prefix of the classifier's weights in a checkpoint of the LightningModule
IMAGES_AT_ONCE = 256


class Classifier(nn.Module):
    """A network behind its normalisation: raw pixels in, logits out."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: Tensor, std: Tensor) -> None:
        """`mean` and `std`: (C,), in units of raw pixels, 0–255."""
        super().__init__()
        self.network = network
        self.register_buffer("mean", mean.float().view(1, -1, 1, 1))
        self.register_buffer("std", std.float().view(1, -1, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the logits (B, K) for raw pixels 0–255 (B, C, H, W), uint8 or floating."""
        mean, std = _spread(self.mean, pixels), _spread(self.std, pixels)
        logits: Tensor = self.network((pixels.to(mean.dtype) - mean) / std)
        return logits


def _spread(statistic: Tensor, pixels: Tensor) -> Tensor:
    """Return a statistic of each channel (1, C, 1, 1) as one of each column too, (1, C, 1, W), where that is faster.

    With channels_last pixels a processor would work on runs of C numbers; of C · W it is ten times as fast.
    """
    if pixels.device.type != "cpu" or not pixels.is_contiguous(memory_format=torch.channels_last):
        return statistic
    return statistic.expand(-1, -1, 1, pixels.shape[3]).contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class Prediction:
    """The prediction for one image: the most probable class, and the probability of every class by its name."""

    label: str
    probabilities: Mapping[str, float]

    def top(self, count: int = 5) -> list[tuple[str, float]]:
        """Return the most probable classes with their probabilities."""
        return sorted(self.probabilities.items(), key=lambda item: -item[1])[:count]


class TrainedNetwork:
    """A classifier with its plan and the names of its classes, as a checkpoint describes them.

    Shapes: N images, C channels, H × W pixels, K classes.
    """

    def __init__(self, classifier: Classifier, plan: Plan, class_names: Sequence[str]) -> None:
        self.classifier = classifier
        self.plan = plan
        self.class_names = tuple(class_names)

    def to(self, device: torch.device) -> Self:
        """Move the network to a device and return it."""
        self.classifier.to(device)
        return self

    def __call__(self, pixels: Tensor | np.ndarray) -> Tensor:
        """Return the logits of images, float32 (N, K) on the CPU.

        Args:
            pixels: raw pixels 0–255 (N, C, H, W), uint8 or floating.

        Raises:
            UserError: images of another shape.
        """
        if isinstance(pixels, np.ndarray) and min(pixels.strides, default=0) < 0:  # a mirrored view
            pixels = pixels.copy()
        images = torch.as_tensor(pixels)
        if images.dim() != 4 or tuple(images.shape[1:]) != self.plan.input_shape:
            expected = ", ".join(map(str, self.plan.input_shape))
            raise UserError(f"expected pixels of shape (N, {expected}), got {tuple(images.shape)}.")
        device = self.classifier.mean.device
        self.classifier.eval()
        with torch.inference_mode():
            return torch.cat([self.classifier(some.to(device)).float().cpu() for some in images.split(IMAGES_AT_ONCE)])

    def predict(self, images: Sequence[Picture]) -> list[Prediction]:
        """Return one prediction per image, each brought to the input size as training images are.

        Args:
            images: paths of image files, PIL images, or uint8 arrays (H, W, 3) or (H, W).

        Raises:
            UserError: a file that cannot be read as an image, or an array of another kind.
        """
        if isinstance(images, str | os.PathLike | Image.Image):
            images = [images]
        size = self.plan.input_shape[1]
        pixels = [decode_image(image, size) for image in images]
        return self.predictions(torch.stack(pixels)) if pixels else []

    def predictions(self, pixels: Tensor) -> list[Prediction]:
        """Return one prediction per image of raw pixels (N, C, H, W); raises RunFailedError for a non-finite output."""
        probabilities = self(pixels).softmax(dim=1)
        if not probabilities.isfinite().all():
            raise RunFailedError("the network's output is not finite")
        by_name = [dict(zip(self.class_names, row, strict=True)) for row in probabilities.tolist()]
        return [Prediction(max(one, key=one.__getitem__), one) for one in by_name]

    def check_fits(self, data_name: str, info: DataInfo) -> None:
        """Raise UserError where the images or the classes of a data source are not those of the training."""
        if info.input_shape == self.plan.input_shape and tuple(info.class_names) == self.class_names:
            return
        given, known = (" ".join(names[:5]) for names in (info.class_names, self.class_names))
        hint = f"\nClasses given: {given} …\nClasses known: {known} …" if given != known else ""
        if len(info.class_names) != len(self.class_names):
            hint = ""
        raise UserError(
            f"data={data_name}: {info.num_classes} classes of images {list(info.input_shape)}, but the run was "
            f"trained on {len(self.class_names)} classes of images {list(self.plan.input_shape)}.{hint}"
        )


def description(model: Mapping[str, Any], plan: Plan, class_names: Sequence[str]) -> dict[str, Any]:
    """Return the description of a network that its checkpoint contains, in plain data: enough to build it again."""
    return {"model": dict(model), "input_shape": list(plan.input_shape), "class_names": list(class_names)}


def load_checkpoint(path: Path, map_location: Any | None = "cpu") -> dict[str, Any]:
    """Return a checkpoint of tensors and plain data only, so that a file from elsewhere cannot run code.

    Raises:
        UserError: the file is missing, damaged, or contains anything else.
    """
    try:
        checkpoint: Any = torch.load(path, map_location=map_location, weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path}: no such checkpoint.") from None
    except pickle.UnpicklingError as error:
        code = [line.strip() for line in str(error).splitlines() if "GLOBAL" in line]
        if not code:  # no pickle at all
            raise UserError(f"{path}: not a readable checkpoint.") from None
        raise UserError(f"{path}: refused, it contains more than tensors and plain data ({code[0][:160]}).") from None
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].split(". ")[0][:160]
        raise UserError(f"{path}: not a readable checkpoint ({reason}).") from None
    except Exception:  # of torch's unpickler, which fails in many ways on what is no pickle
        checkpoint = None
    if not isinstance(checkpoint, dict):
        raise UserError(f"{path}: not a readable checkpoint.")
    return checkpoint


def chosen_device(accelerator: str) -> torch.device:
    """Return the device of Lightning's accelerator name; `auto` is the best there is."""
    if accelerator in ("auto", "gpu"):
        best = torch.accelerator.current_accelerator(check_available=True)
        return best or torch.device("cpu")
    return torch.device(accelerator)


def load_trained(checkpoint_path: Path) -> TrainedNetwork:
    """Return the trained network of a checkpoint, on the CPU, in evaluation mode. Raises UserError for another file."""
    checkpoint = load_checkpoint(checkpoint_path)
    if DESCRIPTION not in checkpoint:
        raise UserError(f"{checkpoint_path}: not a checkpoint of cifar-exp, it does not describe its network.")
    about = checkpoint[DESCRIPTION]
    channels, height, width = about["input_shape"]
    plan = plan_network(ModelSpec.model_validate(about["model"]), (channels, height, width), len(about["class_names"]))
    blank = torch.zeros(channels)
    classifier = Classifier(build_network(plan), blank, blank + 1)
    state = checkpoint["state_dict"].items()
    classifier.load_state_dict({key.removeprefix(WEIGHTS): value for key, value in state if key.startswith(WEIGHTS)})
    return TrainedNetwork(classifier.eval().to(memory_format=torch.channels_last), plan, about["class_names"])

"""A network together with the normalisation that it was trained with, and how both are kept in a checkpoint."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cifar_exp.data.describe import DataInfo
from cifar_exp.errors import UserError
from cifar_exp.network import ModelSpec, Plan, build_network, plan_network
from cifar_exp.runs.checkpoints import load_checkpoint

DESCRIPTION = "cifar_exp"  # the checkpoint's key for what `TrainedNetwork` needs beside the weights
WEIGHTS = "classifier."  # the prefix of the classifier's weights in a checkpoint of the LightningModule


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
        """Raw pixels 0–255 (B, C, H, W), uint8 or floating, to logits (B, K)."""
        mean, std = _spread(self.mean, pixels), _spread(self.std, pixels)
        logits: Tensor = self.network((pixels.to(mean.dtype) - mean) / std)
        return logits


def _spread(statistic: Tensor, pixels: Tensor) -> Tensor:
    """A statistic of each channel (1, C, 1, 1) as one of each column too, (1, C, 1, W), where that is faster.

    With channels_last pixels a processor would work on runs of C numbers; of C · W it is ten times as fast.
    """
    if pixels.device.type != "cpu" or not pixels.is_contiguous(memory_format=torch.channels_last):
        return statistic
    return statistic.expand(-1, -1, 1, pixels.shape[3]).contiguous(memory_format=torch.channels_last)


class TrainedNetwork:
    """A classifier with its plan and the names of its classes, as a checkpoint describes them."""

    def __init__(self, classifier: Classifier, plan: Plan, class_names: Sequence[str]) -> None:
        self.classifier = classifier
        self.plan = plan
        self.class_names = tuple(class_names)

    def check_fits(self, data_name: str, info: DataInfo) -> None:
        """Raises UserError where the images or the classes of a data source are not those of the training."""
        if info.input_shape == self.plan.input_shape and tuple(info.class_names) == self.class_names:
            return
        if len(info.class_names) == len(self.class_names):
            given, known = " ".join(info.class_names[:5]), " ".join(self.class_names[:5])
            hint = f"\nClasses given: {given} …\nClasses known: {known} …" if given != known else ""
        else:
            hint = ""
        raise UserError(
            f"data={data_name}: {info.num_classes} classes of images {list(info.input_shape)}, but the run was "
            f"trained on {len(self.class_names)} classes of images {list(self.plan.input_shape)}.{hint}"
        )


def description(model: Mapping[str, Any], plan: Plan, class_names: Sequence[str]) -> dict[str, Any]:
    """What a checkpoint says of its network, in plain data: enough to build it again."""
    return {"model": dict(model), "input_shape": list(plan.input_shape), "class_names": list(class_names)}


def load_trained(checkpoint_path: Path) -> TrainedNetwork:
    """The trained network of a checkpoint, on the CPU, in evaluation mode. Raises UserError where it cannot be."""
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

"""A `torch.export` file: the graph for PyTorch without this package."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from cifar_exp.export.onnx_file import IMAGES_AT_ONCE, example
from cifar_exp.export.quiet import quietly
from cifar_exp.inference.classifier import TrainedNetwork

METADATA = "metadata.json"


def write_torch(path: Path, trained: TrainedNetwork, facts: Mapping[str, str]) -> None:
    """Write the network with `facts` as the extra file `metadata.json`."""
    shapes = ({0: torch.export.Dim("batch")},)
    program = torch.export.export(trained.classifier, (example(trained),), dynamic_shapes=shapes)
    with quietly():
        torch.export.save(program, path, extra_files={METADATA: json.dumps(facts)})


def logits_of(path: Path, images: Tensor) -> Tensor:
    """Return the float logits (N, K) that the file's network computes of images uint8 (N, C, H, W)."""
    module = torch.export.load(path).module()
    with torch.inference_mode():
        return torch.cat([module(some) for some in images.split(IMAGES_AT_ONCE)])

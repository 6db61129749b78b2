"""A network as one file, ONNX or `torch.export`: raw pixels in, logits out, any batch size; and how far it is off."""

import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cifar_exp import __version__
from cifar_exp.errors import UserError
from cifar_exp.inference.classifier import IMAGES_AT_ONCE, TrainedNetwork
from cifar_exp.network.cost import costs_of

INPUT, OUTPUT = "images", "logits"
ONNX = ("onnx", "onnxscript", "onnxruntime")
METADATA = "metadata.json"
TOLERANCE = 1e-3  # of the largest logit; other orders of the same sums give 1e-5


def require_onnx() -> None:
    """Raise UserError, with the command that installs them, where packages are missing."""
    missing = [name for name in ONNX if find_spec(name) is None]
    if missing:
        raise UserError(
            f"format=onnx needs {', '.join(missing)}, not installed here.\n"
            'Install with: pip install "cifar-exp[export]"   (format=torch needs nothing more.)'
        )


def about(trained: TrainedNetwork, data_name: str | None) -> dict[str, str]:
    """Return a file's metadata: input, output, classes, normalisation, cost, training data as texts; lists are JSON."""
    plan, classifier = trained.plan, trained.classifier
    channels, height, width = plan.input_shape
    facts: Mapping[str, object] = {
        "input": f"{INPUT}: uint8, N×{channels}×{height}×{width}, raw pixels 0–255, RGB, channels first; "
        "normalisation is in the graph",
        "output": f"{OUTPUT}: float32, N×{plan.num_classes}, in the order of class_names; softmax gives probabilities",
        "class_names": json.dumps(list(trained.class_names)),  # in ASCII: a name may have undecodable bytes
        "mean": json.dumps(classifier.mean.flatten().tolist()),
        "std": json.dumps(classifier.std.flatten().tolist()),
        "model": plan.name,
        **costs_of(plan),
        "training_data": data_name or "unknown",
        "producer": f"cifar-exp {__version__}",
    }
    return {name: str(value) for name, value in facts.items()}


@contextmanager
def quietly() -> Iterator[None]:
    """Suppress log messages below an error, and warnings, of libraries that log each of their steps."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _example(trained: TrainedNetwork) -> Tensor:
    """Return two blank images, uint8 (2, C, H, W): a batch of one would be exported as a constant."""
    return torch.zeros(2, *trained.plan.input_shape, dtype=torch.uint8)


def write_onnx(path: Path, trained: TrainedNetwork, facts: Mapping[str, str]) -> None:
    """Write the network with `facts` as its metadata, and without torch's notes on our source files."""
    import onnx

    with quietly():
        program = torch.onnx.export(
            trained.classifier,
            (_example(trained),),
            dynamo=True,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    _strip(model)
    model.doc_string = f"{facts['input']}\n{facts['output']}"
    onnx.helper.set_model_props(model, dict(facts))
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _strip(model: Any) -> None:
    """Remove the notes of torch's exporter: stack traces with paths of this machine."""
    graph = model.graph
    del model.functions[:], graph.metadata_props[:], graph.value_info[:]
    graph.doc_string = ""
    for part in (*graph.node, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""


def write_torch(path: Path, trained: TrainedNetwork, facts: Mapping[str, str]) -> None:
    """Write the network with `facts` as the extra file `metadata.json`."""
    shapes = ({0: torch.export.Dim("batch")},)
    program = torch.export.export(trained.classifier, (_example(trained),), dynamic_shapes=shapes)
    with quietly():
        torch.export.save(program, path, extra_files={METADATA: json.dumps(facts)})


def onnx_logits(path: Path, images: Tensor) -> Tensor:
    """Return the float logits (N, K) that onnxruntime, on the CPU, computes of images uint8 (N, C, H, W)."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    batches = (some.contiguous().numpy() for some in images.split(IMAGES_AT_ONCE))
    return torch.from_numpy(np.concatenate([session.run([OUTPUT], {INPUT: batch})[0] for batch in batches]))


def torch_logits(path: Path, images: Tensor) -> Tensor:
    """Return the float logits (N, K) that a `torch.export` file's network computes of images uint8 (N, C, H, W)."""
    module = torch.export.load(path).module()
    with torch.inference_mode():
        return torch.cat([module(some) for some in images.split(IMAGES_AT_ONCE)])


def weight_bytes(path: Path) -> int:
    """Return the bytes of an ONNX file's constants: what a microcontroller's flash contains beside its code."""
    import onnx

    initializers = onnx.load(path).graph.initializer
    return sum(onnx.numpy_helper.to_array(constant).nbytes for constant in initializers)


@dataclass(frozen=True)
class Agreement:
    """Two runtimes' logits of the same images."""

    greatest_difference: float  # of a logit
    mean_difference: float
    same_predictions: float  # fraction of the images with the same most probable class
    largest_logit: float  # of PyTorch's, whatever its sign

    @classmethod
    def of(cls, expected: Tensor, given: Tensor) -> "Agreement":
        """Return the agreement of logits (N, K) with PyTorch's, `expected`."""
        same = (expected.argmax(dim=1) == given.argmax(dim=1)).double().mean().item()
        difference = (expected - given).abs()
        return cls(difference.max().item(), difference.mean().item(), same, expected.abs().max().item())

    @property
    def is_close(self) -> bool:
        """Whether the difference is one of float32's rounding; that of an infinite or undefined logit never is."""
        return self.greatest_difference <= TOLERANCE * max(1.0, self.largest_logit)

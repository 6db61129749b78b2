"""ONNX: raw pixels in, logits out, any batch size."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cifar_exp.export.about import INPUT, OUTPUT
from cifar_exp.export.quiet import quietly
from cifar_exp.inference.classifier import TrainedNetwork

IMAGES_AT_ONCE = 250


def example(trained: TrainedNetwork) -> Tensor:
    """Return two blank images, uint8 (2, C, H, W): a batch of one would be exported as a constant."""
    return torch.zeros(2, *trained.plan.input_shape, dtype=torch.uint8)


def write_onnx(path: Path, trained: TrainedNetwork, facts: Mapping[str, str]) -> None:
    """Write the network with `facts` as its metadata, and without torch's notes on our source files."""
    import onnx

    with quietly():
        program = torch.onnx.export(
            trained.classifier,
            (example(trained),),
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


def weight_bytes(path: Path) -> int:
    """Return the bytes of the file's constants: what a microcontroller's flash contains beside its code."""
    import onnx

    initializers = onnx.load(path).graph.initializer
    return sum(onnx.numpy_helper.to_array(constant).nbytes for constant in initializers)


def logits_of(path: Path, images: Tensor) -> Tensor:
    """Return the float logits (N, K) that onnxruntime computes of images uint8 (N, C, H, W)."""
    session = open_session(path)
    batches = (some.contiguous().numpy() for some in images.split(IMAGES_AT_ONCE))
    return torch.from_numpy(np.concatenate([session.run([OUTPUT], {INPUT: batch})[0] for batch in batches]))


def open_session(path: Path) -> Any:
    """Return the file in onnxruntime, on the CPU, with as many threads as torch has."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

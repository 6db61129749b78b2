"""8 bits for weights and activations: onnxruntime's static quantization, calibrated on training images."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from torch import Tensor

from cifar_exp.export.graph_file import INPUT, quietly
from cifar_exp.export.int8.equalise import equalise
from cifar_exp.export.int8.graph import Floats, Graph
from cifar_exp.export.int8.norms import replace_batch_norms
from cifar_exp.files import atomic

CALIBRATION_IMAGES = 512
IMAGES_AT_ONCE = 64


def write_int8(path: Path, float_path: Path, training_images: Tensor) -> None:
    """Write the network of `float_path` with 8-bit weights, a scale for each output channel, and 8-bit activations.

    Weights are symmetric around their zero point, 128. They and the activations are unsigned, because onnxruntime
    multiplies signed integers with 16-bit saturation on processors without VNNI, and the accuracy would depend on the
    processor. Weights that several layers share are stored once.

    Args:
        path: The file to write.
        float_path: The exported network in float32.
        training_images: uint8 (N, C, H, W) in random order; the first 512 determine the ranges: the mean over batches
            of 64 of their minima and maxima, which outliers move less than the extremes of all.
    """
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    images = training_images[:CALIBRATION_IMAGES]
    model = onnx.load(float_path)
    facts = {entry.key: entry.value for entry in model.metadata_props}
    with quietly(), TemporaryDirectory() as directory:
        prepared = Path(directory) / "prepared.onnx"
        graph = Graph(model)  # brought into a form that 8-bit integers represent well; it computes the same
        replace_batch_norms(graph)
        graph.store()
        equalise(graph, _channel_ranges(model, images))
        graph.store()
        onnx.save(model, prepared)
        with atomic(path) as temporary:
            quantize_static(
                str(prepared),
                str(temporary),
                CalibrationImages(images),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                weight_type=QuantType.QUInt8,
                activation_type=QuantType.QUInt8,
                calibrate_method=CalibrationMethod.MinMax,
                extra_options={"WeightSymmetric": True, "CalibMovingAverage": True},
            )
            quantised = onnx.load(temporary)
            onnx.helper.set_model_props(quantised, {**facts, "quantisation": "8-bit weights and activations, QDQ"})
            onnx.save(quantised, temporary)


def _channel_ranges(model: Any, images: Tensor) -> dict[str, Floats]:
    """Return the greatest magnitude of each channel (C,) of every tensor, on images uint8 (N, C, H, W)."""
    import onnx
    import onnxruntime

    observed = onnx.ModelProto()
    observed.CopyFrom(model)
    outputs = {output.name for output in model.graph.output}
    inside = [name for node in model.graph.node for name in node.output if name not in outputs]
    observed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in inside)
    session = onnxruntime.InferenceSession(observed.SerializeToString(), providers=["CPUExecutionProvider"])
    ranges: dict[str, Floats] = {}
    for batch in images.split(IMAGES_AT_ONCE):
        found = session.run([*outputs, *inside], {INPUT: batch.contiguous().numpy()})
        for name, values in zip([*outputs, *inside], found, strict=True):
            if values.ndim >= 2:
                greatest = np.abs(values).max(axis=(0, *range(2, values.ndim)))
                ranges[name] = np.maximum(greatest, ranges.get(name, greatest))
    return ranges


class CalibrationImages:
    """Batches of images for onnxruntime's calibration (its `CalibrationDataReader`)."""

    def __init__(self, images: Tensor) -> None:
        self._batches: Iterator[Tensor] = iter(images.split(IMAGES_AT_ONCE))

    def get_next(self) -> dict[str, Any] | None:
        """Return the next batch, None after the last."""
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch.contiguous().numpy()}

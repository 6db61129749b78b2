"""8 bits for weights and activations: onnxruntime's static quantization, calibrated on training images.

Batch norms folded into weights that lie behind a ReLU, and ranges of channels equalised (Nagel et al. 2019,
arXiv:1906.04721, §4.1), did not pay: model50k, best50k and resnet8 had 77.45, 87.15 and 84.70 % with both and 77.35,
87.40 and 84.80 % with neither on 4,000 test images of CIFAR-10.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from cifar_exp.export.graph_file import INPUT, quietly
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

    model = onnx.load(float_path)
    facts = {entry.key: entry.value for entry in model.metadata_props}
    with quietly(), atomic(path) as temporary:
        quantize_static(
            model,
            str(temporary),
            CalibrationImages(training_images[:CALIBRATION_IMAGES]),
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


class CalibrationImages:
    """Batches of images for onnxruntime's calibration (its `CalibrationDataReader`)."""

    def __init__(self, images: Tensor) -> None:
        self._batches: Iterator[Tensor] = iter(images.split(IMAGES_AT_ONCE))

    def get_next(self) -> dict[str, Any] | None:
        """Return the next batch, None after the last."""
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch.contiguous().numpy()}

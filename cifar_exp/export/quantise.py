"""Eight bits for weights and activations: onnxruntime's static quantisation, calibrated on training images."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import Tensor

from cifar_exp.export.about import INPUT
from cifar_exp.export.quiet import quietly
from cifar_exp.files import atomic

CALIBRATION_IMAGES = 512
IMAGES_AT_ONCE = 64


def write_int8(path: Path, float_path: Path, training_images: Tensor) -> None:
    """Writes the network of `float_path` with int8 weights, a scale for each output channel, and int8 activations.

    Their ranges are those seen on the first 512 of `training_images`, uint8 (N, C, H, W), which are in random order.
    """
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with quietly(), TemporaryDirectory() as directory:
        prepared = Path(directory) / "prepared.onnx"
        quant_pre_process(str(float_path), str(prepared), skip_symbolic_shape=True)
        with atomic(path) as temporary:
            quantize_static(
                str(prepared),
                str(temporary),
                CalibrationImages(training_images[:CALIBRATION_IMAGES]),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                weight_type=QuantType.QInt8,
                activation_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
            )
            model, original = onnx.load(temporary), onnx.load(float_path)
            facts = {entry.key: entry.value for entry in original.metadata_props}
            onnx.helper.set_model_props(model, {**facts, "quantisation": "int8 weights and activations, QDQ"})
            onnx.save(model, temporary)


class CalibrationImages:
    """Hands images to onnxruntime's calibration (its `CalibrationDataReader`)."""

    def __init__(self, images: Tensor) -> None:
        self._batches: Iterator[Tensor] = iter(images.split(IMAGES_AT_ONCE))

    def get_next(self) -> dict[str, Any] | None:
        """The next batch, None after the last."""
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch.contiguous().numpy()}

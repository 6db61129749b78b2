"""The root configs of the other commands, one strict, closed type for each."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from cifar_exp.data.settings import DataConfig
from cifar_exp.files import expanded
from cifar_exp.network.cost import Budget
from cifar_exp.network.spec import ModelSpec, Name, Spec


def _expanded(path: str) -> str:
    return str(expanded(path)) if path.startswith("~") else path


Text = Annotated[Name, Field(min_length=1), AfterValidator(_expanded)]  # a path
PICTURES = (".png", ".jpg", ".webp", ".svg", ".pdf")
Format = Literal["table", "json"]


def _known_picture(path: str) -> str:
    if not path.lower().endswith(PICTURES):
        raise ValueError(f"expected a file that ends in {', '.join(PICTURES)}")
    return path


Picture = Annotated[Text, AfterValidator(_known_picture)]


class SummaryConfig(Spec):
    """`cifar-exp summary`: what a network is made of and what it costs."""

    model: ModelSpec
    data: DataConfig  # gives the input shape and the number of classes; no image is read
    budget: Budget = Budget()
    format: Format = "table"


class _InferenceConfig(Spec):
    """What `eval` and `predict` share."""

    run: Text  # the run's directory, or a weights file (.ckpt)
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"] = "auto"
    budget: Budget = Budget()
    format: Format = "table"


class EvalConfig(_InferenceConfig):
    """`cifar-exp eval`: tests a finished run's best weights again."""

    data: dict[str, Any] | None = None  # a whole data config, or keys that replace those of the run's own


class PredictConfig(_InferenceConfig):
    """`cifar-exp predict`: classifies images."""

    image: Text  # an image file, or a directory of them, searched with its subdirectories
    picture: Picture | None = "predictions.png"  # the images with their predictions; None: no picture
    output: Text | None = None  # a file for the JSON document, besides what is printed


def _listed(runs: Any) -> Any:
    return [runs] if isinstance(runs, str | int | float) else runs


class ReportConfig(Spec):
    """`cifar-exp report`: compares runs."""

    runs: Annotated[list[Text], Field(min_length=1), BeforeValidator(_listed)]  # directories of runs or of sweeps
    output: Text = "./report"  # directory of report.md and report.html


FILES_OF_FIRMWARE = ("image", "int8_kernels", "main", "semihosting", "startup")


def _no_other_file(prefix: str) -> str:
    if prefix in FILES_OF_FIRMWARE:
        raise ValueError(f"expected another name than those of the other files: {', '.join(FILES_OF_FIRMWARE)}")
    return prefix


Prefix = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$"), AfterValidator(_no_other_file)]


class ExportConfig(Spec):
    """`cifar-exp export`: writes a network for other runtimes."""

    run: Text  # the run's directory, or a weights file (.ckpt)
    format: Literal["onnx", "torch", "c"] = "onnx"
    output: Text | None = None  # None: model.onnx, model.pt2 or the directory model_c in the run's directory
    cpu: Literal["cortex-m0", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m55"] = "cortex-m4"  # format=c
    prefix: Prefix = "network"  # format=c: of its files and identifiers
    emulate: Literal["auto"] | bool = "auto"  # format=c: on an emulated processor too; auto: where the tools are there
    int8: bool = False  # also a file with weights and activations of 8 bits, calibrated on training images
    data: dict[str, Any] | None = None  # images to check with, as in `eval`; None: the run's own
    budget: Budget = Budget()

"""`cifar-exp export`: writes the trained network for other runtimes, and checks it against PyTorch."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from cifar_exp.cli.commands.export_c import export_c
from cifar_exp.cli.tables import figures_table, note, note_unfinished, result_table, show
from cifar_exp.config.command_schema import ExportConfig
from cifar_exp.console import Console
from cifar_exp.data.describe import describe
from cifar_exp.data.settings import DataConfig
from cifar_exp.data.sources import load_test, load_train_val
from cifar_exp.errors import RunFailedError, UserError
from cifar_exp.export.graph_file import (
    Agreement,
    about,
    onnx_logits,
    require_onnx,
    torch_logits,
    weight_bytes,
    write_onnx,
    write_torch,
)
from cifar_exp.export.int8 import write_int8
from cifar_exp.files import atomic, users_choice
from cifar_exp.inference.classifier import TrainedNetwork
from cifar_exp.inference.evaluation import Evaluation
from cifar_exp.network import check_budget
from cifar_exp.runs.run import Run, chosen_data

FORMATS = {"onnx": (write_onnx, onnx_logits), "torch": (write_torch, torch_logits)}
SUFFIXES = {"onnx": ".onnx", "torch": ".pt2", "c": "_c"}
IMAGES_CHECKED = 1000  # enough for a difference to show; int8 is measured on the whole test set


class Sample(NamedTuple):
    """The images that an exported file is checked on: uint8 (N, C, H, W)."""

    images: Tensor
    about: str  # "1,000 test images of cifar10"


def main(checked: tuple[ExportConfig, Run]) -> None:
    """Write the file, and with `int8=true` a second one; print how far their logits are from PyTorch's."""
    config, run = checked
    if config.format == "onnx":
        require_onnx()
    elif config.int8:
        raise UserError("int8=true goes with format=onnx: PyTorch's own file keeps its precision, C always has 8 bits.")
    note_unfinished(run)
    trained = run.model()
    check_budget(trained.plan, config.budget)
    data = known_data(run, config, trained)
    if config.int8 and data is None:
        raise UserError("int8=true needs training images to calibrate with: choose data=… too.")
    path = Path(config.output) if config.output else default_path(run, config.format)
    if config.format == "c":
        return export_c(config, path, trained, data)
    facts = about(trained, data.name if data else None)
    sample = check_sample(trained, data)
    with users_choice(path), atomic(path) as temporary:
        with working(f"writing {path.name}"):
            write, logits_of = FORMATS[config.format]
            write(temporary, trained, facts)
        with working("checking against PyTorch"):
            found = Agreement.of(trained(sample.images), logits_of(temporary, sample.images))
        if not found.is_close:
            raise RunFailedError(
                f"{path} is not kept: its logits differ from PyTorch's by up to {found.greatest_difference:.2g} of a "
                f"logit on {sample.about}"
            )
    if config.int8 and data is not None:
        show_int8(path, trained, data)
    else:
        show_file(path, trained, sample, found)


def default_path(run: Run, file_format: str) -> Path:
    """Return `model.onnx`, `model.pt2` or `model_c` in the run's directory; beside a weights file, under its name."""
    name = "model" if run.config else run.checkpoint.stem
    return run.directory / f"{name}{SUFFIXES[file_format]}"


def known_data(run: Run, config: ExportConfig, trained: TrainedNetwork) -> DataConfig | None:
    """Return the data that the run was trained on, or that the user chose; None where it is not known."""
    if run.config is None and config.data is None:
        return None
    data = chosen_data(run, config.data)
    if config.data is not None:
        trained.check_fits(data.name, describe(data))
    return data


def show_file(path: Path, trained: TrainedNetwork, sample: Sample, found: Agreement) -> None:
    """Print the size of the file, and how its predictions compare with PyTorch's."""
    rows = [
        ("file", str(path)),
        ("size", f"{path.stat().st_size:,} bytes"),
        ("input", f"images: uint8, N×{'×'.join(map(str, trained.plan.input_shape))}, raw pixels 0–255"),
        ("checked on", sample.about),
        ("greatest difference", f"{found.greatest_difference:.2g} of a logit"),
        ("same predictions", f"{found.same_predictions:.2%}"),
    ]
    show(result_table("Export", rows))


def show_int8(path: Path, trained: TrainedNetwork, data: DataConfig) -> None:
    """Write the 8-bit file; print both files' sizes, and their predictions for the whole test set."""
    int8_path = path.with_suffix(f".int8{path.suffix}")
    train, _ = load_train_val(data)
    test = load_test(data)
    with users_choice(int8_path), working("calibrating and quantising"):
        write_int8(int8_path, path, train.images)
    with working(f"testing both on {len(test):,} images"):
        expected = trained(test.images)
        logits = [onnx_logits(file, test.images) for file in (path, int8_path)]
    found = [Agreement.of(expected, given) for given in logits]
    files = (path, int8_path)
    rows = [
        ["file, bytes", *(f"{file.stat().st_size:,}" for file in files)],
        ["weights, bytes", *(f"{weight_bytes(file):,}" for file in files)],
        ["test accuracy", *(f"{Evaluation(given, test.labels, test.class_names).accuracy:.2%}" for given in logits)],
        ["same predictions as PyTorch", *(f"{one.same_predictions:.2%}" for one in found)],
        ["difference of a logit, mean", *(f"{one.mean_difference:.2g}" for one in found)],
        ["difference of a logit, greatest", *(f"{one.greatest_difference:.2g}" for one in found)],
    ]
    table = figures_table(f"Export, {len(test):,} test images of {data.name}", ["", "float32", "int8"], rows)
    table.caption = f"{path}\n{int8_path}"
    show(table)


def check_sample(trained: TrainedNetwork, data: DataConfig | None) -> Sample:
    """Return up to 1,000 test images; random pixels where the data is not at hand."""
    if data is not None:
        try:
            trained.check_fits(data.name, describe(data))
            images = load_test(data).images[:IMAGES_CHECKED]
            return Sample(images, f"{len(images):,} test images of {data.name}")
        except UserError as error:
            note(f"No test images to check with: {error}")
    generator = torch.Generator().manual_seed(0)
    shape = (IMAGES_CHECKED, *trained.plan.input_shape)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    return Sample(images, f"{len(images):,} images of random pixels")


def working(words: str) -> AbstractContextManager[object]:
    """Return a spinner, which a terminal shows while something takes seconds."""
    console = Console(stderr=True)
    return console.status(words) if console.is_screen else nullcontext()

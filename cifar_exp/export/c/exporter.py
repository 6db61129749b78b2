"""From a trained network to a directory of firmware that is verified before it is kept."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import uuid4

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cifar_exp.data.images import ImageSet
from cifar_exp.errors import UserError
from cifar_exp.export.c.emit import Emitter
from cifar_exp.export.c.emulation import emulate
from cifar_exp.export.c.host import run_on_host
from cifar_exp.export.c.integers import IntegerOperation
from cifar_exp.export.c.layout import FirmwareDir, header_text, write_example_image, write_programs
from cifar_exp.export.c.parameters import parameters_of, ranges_of
from cifar_exp.export.c.quantize import Quantizer
from cifar_exp.export.c.simulate import simulate
from cifar_exp.export.c.toolchain import FirmwareError
from cifar_exp.export.graph_file import Agreement
from cifar_exp.files import write_json, write_text
from cifar_exp.inference.classifier import TrainedNetwork
from cifar_exp.inference.evaluation import Evaluation
from cifar_exp.network.firmware import Arena, arrange

CALIBRATION_IMAGES = 512
MACS_SIMULATED, MACS_EMULATED = 2_000_000_000, 200_000_000  # at most, unless that is too few images
LEAST_IMAGES = 20


@dataclass(frozen=True)
class About:
    """The contents of `about.json` (contract section 9); sizes are planned where nothing was emulated."""

    name: str
    cpu: str
    params: int
    arena_bytes: int
    stack_bytes: int | None
    sram_bytes: int | None
    flash_bytes: int | None
    accuracy_float: float
    accuracy_int8: float
    same_answers: float  # fraction of the test images
    instructions: float | None  # per image
    macs: int
    toolchain: str | None


@dataclass(frozen=True)
class Exported:
    """What a kept directory contains, and on how many images it was verified."""

    about: About
    test_images: int  # all were run by the compiled source
    simulated_images: int
    emulated_images: int


def integer_operations(trained: TrainedNetwork, training_images: Tensor) -> tuple[list[IntegerOperation], Arena]:
    """Return the network's integers and arena, calibrated on the first 512 of images uint8 (N, C, H, W)."""
    plan, classifier = trained.plan, trained.classifier
    assert plan.operations is not None
    quantizer = Quantizer(
        parameters_of(classifier, plan),
        ranges_of(classifier, plan, training_images[:CALIBRATION_IMAGES]),
        classifier.mean.flatten().double().numpy(),
        classifier.std.flatten().double().numpy(),
    )
    return [quantizer.quantize(operation) for operation in plan.operations], arrange(plan.operations, plan.input_shape)


def write_source(
    firmware: FirmwareDir, trained: TrainedNetwork, integers: list[IntegerOperation], arena: Arena
) -> None:
    """Write `network.c` and `network.h`."""
    plan = trained.plan
    source = Emitter(plan.name, trained.class_names).source(integers, arena, firmware.prefix)
    header = header_text(plan.name, plan.input_shape, plan.num_classes, arena.size, firmware.prefix)
    write_text(firmware.source, source)
    write_text(firmware.header, header)


def export_firmware(
    directory: Path,
    trained: TrainedNetwork,
    training_images: Tensor,
    test: ImageSet,
    cpu: str,
    prefix: str,
    toolchain: str | None,
) -> Exported:
    """Write the network as C into `directory`, which appears only once everything agrees bit for bit.

    Args:
        directory: Is replaced if it is an earlier export.
        trained: The network, whose features firmware supports.
        training_images: uint8 (N, C, H, W); the first 512 are calibrated on.
        test: What the export is compared and measured on.
        cpu: The processor for which the Makefile builds and which is emulated.
        prefix: Of the files and identifiers.
        toolchain: The tools that emulate the processor too; None: not emulated.

    Raises:
        UserError: No C compiler, a directory of something else, values that integers of 32 bits cannot represent.
        FirmwareError: The source does not build, or simulation, host and emulation do not agree.
    """
    plan = trained.plan
    integers, arena = integer_operations(trained, training_images)
    pixels = np.ascontiguousarray(test.pixels_NHWC.numpy())
    with _kept_if_complete(directory) as temporary:
        firmware = FirmwareDir(temporary, prefix)
        write_source(firmware, trained, integers, arena)
        write_programs(temporary, cpu, prefix)
        label = trained.class_names[int(test.labels[0])]
        write_example_image(temporary, pixels[0], f"the first test image, of class {label}")
        on_host = run_on_host(firmware, pixels, arena.size, plan.num_classes)
        simulated = simulate(integers, pixels[: _count(plan.macs, MACS_SIMULATED)])
        _check_equal("the integer simulation", simulated, on_host)
        emulation = None
        if toolchain:
            emulation = emulate(temporary, cpu, pixels[: _count(plan.macs, MACS_EMULATED)], prefix)
            _check_equal(f"the emulated {cpu}", emulation.logits, on_host)
        exact, rounded = (
            Evaluation(logits, test.labels, trained.class_names)
            for logits in (trained(test.images), torch.from_numpy(on_host))
        )
        about = About(
            name=plan.name,
            cpu=cpu,
            params=plan.params,
            arena_bytes=arena.size,
            stack_bytes=emulation.stack_bytes if emulation else None,
            sram_bytes=emulation.sram_bytes if emulation else plan.sram_bytes,
            flash_bytes=emulation.flash_bytes if emulation else plan.flash_bytes,
            accuracy_float=exact.accuracy,
            accuracy_int8=rounded.accuracy,
            same_answers=Agreement.of(exact.logits, rounded.logits).same_predictions,
            instructions=emulation.instructions_per_image if emulation else None,
            macs=plan.macs,
            toolchain=toolchain,
        )
        write_json(firmware.about, asdict(about))
    return Exported(about, len(pixels), len(simulated), 0 if emulation is None else len(emulation.logits))


def _may_be_replaced(directory: Path) -> bool:
    """Return whether a path is an empty directory, or one with the `about.json` of an export."""
    if not directory.is_dir() or not any(directory.iterdir()):
        return directory.is_dir()
    try:
        about = json.loads(FirmwareDir(directory).about.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return False
    return isinstance(about, dict) and {"arena_bytes", "toolchain"} <= set(about)


def _count(macs: int, limit: int) -> int:
    return max(LEAST_IMAGES, limit // macs)


def _check_equal(where: str, logits: NDArray[np.int32], on_host: NDArray[np.int32]) -> None:
    differing = (logits != on_host[: len(logits)]).any(axis=1).sum()
    if differing:
        raise FirmwareError(f"{where} differs from the compiled C source on {differing} of {len(logits)} images")


@contextmanager
def _kept_if_complete(directory: Path) -> Iterator[Path]:
    """Yield a temporary directory beside `directory`, whose place it takes if nothing was raised."""
    if directory.exists() and not _may_be_replaced(directory):
        raise UserError(f"output={directory}: exists and is no earlier export of format=c.")
    directory = Path(os.path.realpath(directory))  # a link stays one
    directory.parent.mkdir(parents=True, exist_ok=True)
    temporary = directory.with_name(f".{directory.name}.{uuid4().hex}.tmp")
    temporary.mkdir()
    try:
        yield temporary
        shutil.rmtree(directory, ignore_errors=True)
        os.replace(temporary, directory)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)

"""Export trained networks as firmware, measure it on an emulated Cortex-M4, and write `results/firmware.md`.

python scripts/firmware.py IMAGES                                        IMAGES: a directory with train/ and test/
python scripts/firmware.py IMAGES --networks model50k --emulated 500     500 images on the emulated processor

Needs gcc-arm-none-eabi, libnewlib-arm-none-eabi and qemu-system-arm.
"""

import argparse
import os
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from cifar_exp.data.settings import DataConfig
from cifar_exp.data.sources import load_test, load_train_val
from cifar_exp.export.c.emulation import Emulation, emulate
from cifar_exp.export.c.exporter import Exported, export_firmware
from cifar_exp.export.c.host import run_on_host
from cifar_exp.export.c.layout import FirmwareDir
from cifar_exp.export.c.toolchain import find_toolchain
from cifar_exp.files import write_text
from cifar_exp.inference.classifier import load_trained
from cifar_exp.network import Plan

RESULTS = Path(__file__).parents[1] / "results"
CPU = "cortex-m4"

HEADER = """# Firmware

Written by `python scripts/firmware.py IMAGES`: the networks of `results/weights` as `cifar-exp export format=c` writes
them, calibrated on 512 training images; accuracies are those on the 10,000 test images (JPEG copies of CIFAR-10). The
processor is a Cortex-M4 that QEMU emulates (mps2-an386; {toolchain}).
It counts instructions, which are not cycles. The integer simulation, the compiled C source and the emulated processor
have the same logits on as many test images as the table names. Flash and SRAM are those of the whole program: start-up,
semihosting and network; arena, variables and stack. The time of an export includes all comparisons with the C source.

"""


@dataclass(frozen=True)
class Measured:
    """One network's export, and the same source on the emulated processor."""

    plan: Plan
    exported: Exported
    emulation: Emulation
    flash_bytes_o2: int
    seconds: float  # that the export took of one core


def seconds_used() -> float:
    """Return the processor time of this process and its children, which other programs on the machine do not change."""
    return sum(os.times()[:4])


def measure(weights: Path, data: DataConfig, count: int) -> Measured:
    """Export a checkpoint, and run `count` test images on the host and on the emulated processor."""
    trained = load_trained(weights)
    train, test = load_train_val(data)[0], load_test(data)
    with TemporaryDirectory() as temporary:
        directory = Path(temporary) / "model_c"
        start = seconds_used()
        exported = export_firmware(
            directory, trained, train.images, test.images, test.labels,
            cpu=CPU, emulated=False, host_images=len(test.images),
        )  # fmt: skip
        seconds = seconds_used() - start
        pixels = np.ascontiguousarray(test.images[:count].permute(0, 2, 3, 1).numpy())
        emulation = emulate(directory, CPU, pixels)
        firmware = FirmwareDir(directory, "network")
        on_host = run_on_host(firmware, pixels, exported.about.arena_bytes, trained.plan.num_classes)
        if not np.array_equal(emulation.logits, on_host):
            raise SystemExit(f"{weights}: the emulated {CPU} and the host differ")
        small = emulate(directory, CPU, pixels[:1], optimise="-O2")
    return Measured(trained.plan, exported, emulation, small.flash_bytes, seconds)


def column(measured: Measured) -> dict[str, str]:
    """Return one network's figures by their names."""
    plan, exported, emulation = measured.plan, measured.exported, measured.emulation
    about = exported.about
    return {
        "parameters": f"{plan.params:,}",
        "accuracy, float32 → int8": f"{about.accuracy_float:.2%} → {about.accuracy_int8:.2%}",
        "loss, points": f"{100 * (about.accuracy_float - about.accuracy_int8):.2f}",
        "same predictions as float32": f"{about.same_answers:.2%}",
        "images, simulation = host C": f"{exported.host_images:,}",
        "images, host C = emulated M4": f"{len(emulation.logits):,}",
        "arena, bytes": f"{about.arena_bytes:,}",
        "arena / peak activation bytes": f"{about.arena_bytes / plan.peak_activation_bytes:.2f}",
        "SRAM, bytes: measured · planned": f"{emulation.sram_bytes:,} · {plan.sram_bytes:,}",
        "stack, bytes": f"{emulation.stack_bytes:,}",
        "flash -O3, bytes: measured · planned": f"{emulation.flash_bytes:,} · {plan.flash_bytes:,}",
        "flash -O2, bytes": f"{measured.flash_bytes_o2:,}",
        "instructions per image": f"{emulation.instructions_per_image:,.0f}",
        "MACs": f"{plan.macs:,}",
        "instructions per MAC": f"{emulation.instructions_per_image / plan.macs:.2f}",
        "export without emulation, s of one core": f"{measured.seconds:.0f}",
    }


def table(columns: dict[str, dict[str, str]]) -> str:
    """Return the networks' figures side by side, in Markdown."""
    figures = list(next(iter(columns.values())))
    lines = [f"| | {' | '.join(columns)} |", f"| --- |{' ---: |' * len(columns)}"]
    lines += [f"| {figure} | {' | '.join(one[figure] for one in columns.values())} |" for figure in figures]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure the networks and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path, help="directory with train/CLASS/* and test/CLASS/*")
    parser.add_argument("--networks", nargs="+", default=["model50k", "resnet8", "best50k"])
    parser.add_argument("--emulated", nargs="*", type=int, default=[10_000, 1_000, 500], help="test images of each")
    arguments = parser.parse_args()
    toolchain = find_toolchain(CPU)
    if toolchain is None:
        parser.error("needs gcc-arm-none-eabi, libnewlib-arm-none-eabi and qemu-system-arm")
    data = DataConfig.model_validate(
        {"name": "folder", "root": str(arguments.images), "batch_size": 128, "eval_batch_size": 500}
    )
    columns = {}
    for name, count in zip(arguments.networks, arguments.emulated, strict=True):
        columns[name] = column(measure(RESULTS / "weights" / f"{name}.ckpt", data, count))
        write_text(RESULTS / "firmware.md", HEADER.format(toolchain=toolchain) + table(columns))


if __name__ == "__main__":
    main()

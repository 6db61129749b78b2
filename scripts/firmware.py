"""Export trained networks as firmware, measure it on an emulated Cortex-M4, and write `results/firmware.md`.

python scripts/firmware.py IMAGES                          IMAGES: a directory with train/ and test/
python scripts/firmware.py IMAGES --networks model50k      one network; the table has all that are measured
python scripts/firmware.py IMAGES --emulated 500           the first 500 images on the emulated processor

The emulator runs all test images, about half an hour of one core, unless `--emulated` has fewer. What is finished is
kept in `--work DIR`, so that an interrupted call continues; a changed C source is emulated again. Needs
gcc-arm-none-eabi, libnewlib-arm-none-eabi and qemu-system-arm.
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cifar_exp.data.settings import DataConfig
from cifar_exp.data.sources import load_test, load_train_val
from cifar_exp.export.c.emulation import IMAGES_COUNTED, emulate
from cifar_exp.export.c.exporter import integer_operations
from cifar_exp.export.c.host import run_on_host
from cifar_exp.export.c.layout import FirmwareDir
from cifar_exp.export.c.simulate import simulate
from cifar_exp.export.c.toolchain import find_toolchain
from cifar_exp.files import atomic, write_json, write_text
from cifar_exp.inference.classifier import load_trained
from cifar_exp.network import Plan

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results"
NETWORKS = ("model50k", "resnet8", "best50k")
CPU = "cortex-m4"
IMAGES_AT_ONCE = 500  # after which an interrupted emulation continues

HEADER = """# Firmware

Written by `python scripts/firmware.py IMAGES`: the networks of `results/weights` as `cifar-exp export format=c` writes
them, calibrated on 512 training images; accuracies are those on the 10,000 test images (JPEG copies of CIFAR-10). The
processor is a Cortex-M4 that QEMU emulates (mps2-an386; {toolchain}).
It counts instructions, which are not cycles. The integer simulation, the compiled C source and the emulated processor
have the same logits, bit for bit, on as many test images as the table names. Flash and SRAM are those of the whole
program: start-up, semihosting and network; arena, variables and stack. The time of an export is that of the command
without emulation, which runs the C source on all test images and compares the simulation on some.

"""


@dataclass(frozen=True)
class Measured:
    """One network's export, and the same source on the emulated processor."""

    about: dict[str, Any]  # about.json
    seconds: float  # of one core, that the command took
    host_images: int  # on which simulation and host have the same logits
    emulated_images: int  # on which host and emulated processor have
    instructions_per_image: float
    stack_bytes: int
    sram_bytes: int
    flash_bytes: int
    flash_bytes_o2: int


def export(weights: Path, images: Path, directory: Path) -> float:
    """Run the command without emulation; return its processor time, which other programs do not change."""
    before = os.times()
    command = [sys.executable, "-m", "cifar_exp", "export", f"run={weights}", "format=c", f"cpu={CPU}"]
    command += [f"output={directory}", "emulate=false", "data=folder", f"data.root={images}"]
    subprocess.run(command, check=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def measure(weights: Path, images: Path, work: Path, emulated: int | None) -> Measured:
    """Export a checkpoint; run all test images in the simulation and on the host, and `emulated` on the processor."""
    directory = work / "model_c"
    seconds = export(weights, images, directory)
    trained = load_trained(weights)
    data = DataConfig.model_validate({"name": "folder", "root": str(images), "batch_size": 128, "eval_batch_size": 500})
    test = load_test(data)
    pixels = np.ascontiguousarray(test.images.permute(0, 2, 3, 1).numpy())
    integers, arena = integer_operations(trained, load_train_val(data)[0].images)
    on_host = run_on_host(FirmwareDir(directory), pixels, arena.size, trained.plan.num_classes)
    some = emulated_logits(directory, pixels[: emulated and -(-emulated // IMAGES_AT_ONCE) * IMAGES_AT_ONCE], work)
    for where, logits in (("simulation", simulate(integers, pixels)), (CPU, some)):
        if not np.array_equal(logits, on_host[: len(logits)]):
            raise SystemExit(f"{weights}: the logits of {where} and host differ")
    about = json.loads((directory / "about.json").read_text())
    found = emulate(directory, CPU, pixels[:IMAGES_COUNTED])
    small = emulate(directory, CPU, pixels[:1], optimise="-O2")
    return Measured(
        about, seconds, len(pixels), len(some), found.instructions_per_image,
        found.stack_bytes, found.sram_bytes, found.flash_bytes, small.flash_bytes,
    )  # fmt: skip


def emulated_logits(directory: Path, pixels: NDArray[np.uint8], work: Path) -> NDArray[np.int32]:
    """Return the logits of images uint8 (N, H, W, C); those of the same source that are kept in `work` are read."""
    source = "".join(path.read_text() for path in sorted((*directory.rglob("*.[ch]"), directory / "Makefile")))
    digest = hashlib.sha256(re.sub(r"/\*.*?\*/", "", source, flags=re.DOTALL).encode()).hexdigest()[:12]
    logits = []
    for first in range(0, len(pixels), IMAGES_AT_ONCE):
        kept = work / f"logits-{digest}-{first:05}.npy"
        if not kept.is_file():
            with atomic(kept) as temporary:
                np.save(temporary, emulate(directory, CPU, pixels[first : first + IMAGES_AT_ONCE]).logits)
        logits.append(np.load(kept))
    return np.concatenate(logits)


def column(plan: Plan, measured: Measured) -> dict[str, str]:
    """Return one network's figures by their names."""
    about = measured.about
    before, after = about["accuracy_float"], about["accuracy_int8"]
    return {
        "parameters": f"{plan.params:,}",
        "accuracy, float32 → int8": f"{before:.2%} → {after:.2%}",
        "loss, points": f"{100 * (before - after):.2f}",
        "same predictions as float32": f"{about['same_answers']:.2%}",
        "images, simulation = host C": f"{measured.host_images:,}",
        "images, host C = emulated M4": f"{measured.emulated_images:,}",
        "arena, bytes": f"{about['arena_bytes']:,}",
        "arena / peak activation bytes": f"{about['arena_bytes'] / plan.peak_activation_bytes:.2f}",
        "SRAM, bytes: measured · planned": f"{measured.sram_bytes:,} · {plan.sram_bytes:,}",
        "stack, bytes": f"{measured.stack_bytes:,}",
        "flash -O3, bytes: measured · planned": f"{measured.flash_bytes:,} · {plan.flash_bytes:,}",
        "flash -O2, bytes": f"{measured.flash_bytes_o2:,}",
        "instructions per image": f"{measured.instructions_per_image:,.0f}",
        "MACs": f"{plan.macs:,}",
        "instructions per MAC": f"{measured.instructions_per_image / plan.macs:.2f}",
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
    parser.add_argument("--networks", nargs="*", default=NETWORKS, choices=NETWORKS)
    parser.add_argument(
        "--emulated", type=int, help="test images on the emulated processor, in groups of 500; default: all"
    )
    parser.add_argument("--work", type=Path, default=ROOT / "outputs" / "firmware", help="keeps what is finished")
    arguments = parser.parse_args()
    toolchain = find_toolchain(CPU)
    if toolchain is None:
        parser.error("needs gcc-arm-none-eabi, libnewlib-arm-none-eabi and qemu-system-arm")
    columns = {}
    for name in NETWORKS:
        weights, work = RESULTS / "weights" / f"{name}.ckpt", arguments.work / name
        if name in arguments.networks:
            write_json(work / "measured.json", asdict(measure(weights, arguments.images, work, arguments.emulated)))
        if (work / "measured.json").is_file():
            measured = Measured(**json.loads((work / "measured.json").read_text()))
            columns[name] = column(load_trained(weights).plan, measured)
    write_text(RESULTS / "firmware.md", HEADER.format(toolchain=toolchain) + table(columns))


if __name__ == "__main__":
    main()

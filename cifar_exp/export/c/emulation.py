"""An emitted network on an emulated Cortex-M: its logits, instructions, stack, flash and SRAM.

QEMU emulates instructions, not time: with `-icount shift=0` each takes one nanosecond of the board's clock, so the
processor's own SysTick counter counts instructions. They are not cycles. Images and logits travel as files over
semihosting; the stack is painted at the reset and its high-water mark read at the end (files/device/).
"""

import os
import shutil
import struct
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from cifar_exp.export.c.layout import PREFIX, write_programs
from cifar_exp.export.c.toolchain import ERROR_LINES, INSTRUCTIONS_PER_TICK, FirmwareError

IMAGES_COUNTED = 8  # counting halves the emulator's speed; images differ by less than a thousandth
IMAGES_PER_PROCESS = 100  # fewer are not worth a second process
TIME_LIMIT_S = 3600
PROGRAM = "measure.elf"


@dataclass(frozen=True)
class Emulation:
    """What an emulated processor computed, and what it took."""

    logits: NDArray[np.int32]  # (N, K)
    instructions_per_image: float  # of network_run(), mean over up to IMAGES_COUNTED images
    stack_bytes: int  # high-water mark of the whole program
    flash_bytes: int  # of the whole program: code, constants, initial values of variables
    sram_bytes: int  # of the whole program: the arena, other variables, stack_bytes


def emulate(
    directory: Path,
    cpu: str,
    images: NDArray[np.uint8],
    prefix: str = PREFIX,
    optimise: str = "-O3",
) -> Emulation:
    """Build the network in `directory` for `cpu`, and run it on `images`, uint8 (N, H, W, C), in QEMU.

    Args:
        directory: Contains `PREFIX.c` and `PREFIX.h` with the C interface, and the headers they include.
        cpu: One of `toolchain.CPUS`.
        images: Raw pixels, channels last; at least one image.
        prefix: The name of the network in files and identifiers.
        optimise: The compiler's flag, `-O3` or `-O2`.

    Raises:
        FirmwareError: The program does not build, does not fit the board, or does not run to its end.
    """
    with TemporaryDirectory() as temporary:
        build = Path(temporary)
        write_programs(build, cpu, prefix)
        for path in (*directory.glob("*.c"), *directory.glob("*.h")):
            shutil.copy(path, build)
        _checked(["make", "-s", PROGRAM, f"OPTIMISE={optimise}"], build)
        flash_bytes, variables_bytes = _section_bytes(build / PROGRAM)
        counted, ticks, stack_bytes = _run(build, images[:IMAGES_COUNTED], "-icount shift=0")
        logits = _logits_in_parallel(build, images)
    if not np.array_equal(logits[: len(counted)], counted):
        raise FirmwareError(f"{cpu}: the logits of the same images differ between two runs")
    return Emulation(
        logits=logits,
        instructions_per_image=ticks * INSTRUCTIONS_PER_TICK[cpu],
        stack_bytes=stack_bytes,
        flash_bytes=flash_bytes,
        sram_bytes=variables_bytes + stack_bytes,
    )


def _logits_in_parallel(build: Path, images: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Return the logits of all images, from as many emulators as there are processors."""
    processes = min(os.cpu_count() or 1, -(-len(images) // IMAGES_PER_PROCESS))
    with ThreadPoolExecutor(processes) as pool:
        return np.concatenate(list(pool.map(lambda some: _run(build, some, "")[0], np.array_split(images, processes))))


def _run(build: Path, images: NDArray[np.uint8], emulator_flags: str) -> tuple[NDArray[np.int32], float, int]:
    """Return the logits, the ticks per image and the bytes of stack; in a directory of its own, as names are fixed."""
    with TemporaryDirectory(dir=build) as temporary:
        work = Path(temporary)
        (work / "images.bin").write_bytes(np.ascontiguousarray(images).tobytes())
        _checked(["make", "-s", "measure", f"EMULATOR_FLAGS={emulator_flags}", f"WORK={work}"], build)
        ticks, count, stack_bytes = struct.unpack("<QII", (work / "measures.bin").read_bytes())
        if count != len(images):
            raise FirmwareError(
                f"the program read {count} images of {len(images)}: NETWORK_INPUT_BYTES is another size"
            )
        logits = np.fromfile(work / "logits.bin", dtype="<i4").reshape(count, -1)
    return logits.astype(np.int32), ticks / count, stack_bytes


def _section_bytes(program: Path) -> tuple[int, int]:
    """Return the bytes of a program in flash, and those of its variables in SRAM."""
    table = _checked(["arm-none-eabi-size", program.name], program.parent)
    text, data, bss = map(int, table.splitlines()[1].split()[:3])
    return text + data, data + bss


def _checked(command: Sequence[str], directory: Path) -> str:
    """Run a command and return its output; raise FirmwareError with the end of its errors where it fails."""
    try:
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=TIME_LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        raise FirmwareError(f"{' '.join(command)}: not finished after {TIME_LIMIT_S} s") from None
    if done.returncode != 0:
        errors = "\n".join((done.stdout + done.stderr).strip().splitlines()[-ERROR_LINES:])
        raise FirmwareError(f"{' '.join(command)} failed:\n{errors}")
    return done.stdout

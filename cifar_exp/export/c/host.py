"""The exported C source on this machine: compiled as a library and run on many images."""

import ctypes
import os
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from cifar_exp.errors import UserError
from cifar_exp.export.c.layout import FirmwareDir
from cifar_exp.export.c.toolchain import ERROR_LINES, FirmwareError

FLAGS = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-O3", "-fPIC", "-shared")
GUARD = 64  # bytes around the arena, which the network must not touch
PATTERN = 0xA5


def host_compiler() -> str | None:
    """Return the C compiler of this machine: `CC` of the environment, `cc`, `gcc` or `clang`."""
    for name in filter(None, (os.environ.get("CC"), "cc", "gcc", "clang")):
        if found := shutil.which(name):
            return found
    return None


def run_on_host(firmware: FirmwareDir, images: NDArray[np.uint8], arena_bytes: int, classes: int) -> NDArray[np.int32]:
    """Return the logits (N, K) that the compiled source computes of images uint8 (N, H, W, C).

    Raises:
        UserError: no C compiler.
        FirmwareError: the source does not compile, or the network wrote outside its arena.
    """
    compiler = host_compiler()
    if compiler is None:
        raise UserError("format=c is checked with a C compiler, and none was found: install gcc or clang, or set CC.")
    with TemporaryDirectory() as directory:
        library = Path(directory) / "network.so"
        command = [compiler, *FLAGS, "-o", str(library), str(firmware.source)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            errors = "\n".join(done.stderr.splitlines()[:ERROR_LINES])
            raise FirmwareError(f"{compiler} cannot compile {firmware.source.name}:\n{errors}")
        loaded = ctypes.CDLL(str(library))
        return _run(loaded, firmware.prefix, images, arena_bytes, classes)


def _run(
    library: ctypes.CDLL, prefix: str, images: NDArray[np.uint8], arena_bytes: int, classes: int
) -> NDArray[np.int32]:
    find_input, run = library[f"{prefix}_input"], library[f"{prefix}_run"]
    find_input.restype, find_input.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    run.restype, run.argtypes = None, [ctypes.c_void_p, ctypes.c_void_p]
    memory = np.full(arena_bytes + 2 * GUARD, PATTERN, np.uint8)
    arena = memory.ctypes.data + GUARD
    pixels = np.ascontiguousarray(images).reshape(len(images), -1)
    logits = np.empty((len(images), classes), np.int32)
    for index in range(len(images)):
        ctypes.memmove(find_input(arena), pixels[index].ctypes.data, pixels.shape[1])
        run(arena, logits[index].ctypes.data)
    if (memory[:GUARD] != PATTERN).any() or (memory[-GUARD:] != PATTERN).any():
        raise FirmwareError("the network wrote outside its arena")
    return logits

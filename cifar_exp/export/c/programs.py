"""The example programs beside the emitted network: for the PC, for a Cortex-M in QEMU, and for measuring there.

They use only the C interface of `network.h`, so they build against any directory that has it.
"""

import re
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cifar_exp.export.c.layout import renamed

DEFAULT_CPU, DEFAULT_PREFIX = "cortex-m4", "network"


def write_programs(directory: Path, cpu: str = DEFAULT_CPU, prefix: str = DEFAULT_PREFIX) -> None:
    """Write `main.c`, `Makefile` and `device/` into `directory`, for the network in `PREFIX.c` and `PREFIX.h`."""
    with as_file(files("cifar_exp.export.c") / "files") as source:
        for path in sorted(source.rglob("*")):
            if path.suffix in {".c", ".h", ".ld"} or path.name == "Makefile":
                target = directory / path.relative_to(source)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(_renamed(path.read_text(encoding="utf-8"), cpu, prefix), encoding="utf-8")


def _renamed(text: str, cpu: str, prefix: str) -> str:
    return re.sub(rf"^CPU = {DEFAULT_CPU}$", f"CPU = {cpu}", renamed(text, prefix), flags=re.MULTILINE)


def write_example_image(directory: Path, image: NDArray[np.uint8], description: str) -> None:
    """Write an image, uint8 (H, W, C), as `device/image.h` for the device and as `example.ppm` for the PC.

    Only one or three channels have a file for the PC: `example.pgm` or `example.ppm`.
    """
    height, width, channels = image.shape
    rows = "\n".join(f"    {', '.join(map(str, row.ravel()))}," for row in image)
    header = (
        f"/* {description}: {height} x {width} x {channels}, row by row, channels last. */\n"
        "#include <stdint.h>\n\n"
        f"static const uint8_t example_image[{image.size}] = {{\n{rows}\n}};\n"
    )
    (directory / "device").mkdir(parents=True, exist_ok=True)
    (directory / "device" / "image.h").write_text(header, encoding="utf-8")
    netpbm = {1: ("P5", "pgm"), 3: ("P6", "ppm")}.get(channels)
    if netpbm is not None:
        kind, suffix = netpbm
        pixels = np.ascontiguousarray(image).tobytes()
        (directory / f"example.{suffix}").write_bytes(f"{kind}\n{width} {height}\n255\n".encode() + pixels)

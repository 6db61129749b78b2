"""The files of an exported firmware directory (`model_c/`), by name.

`network.c` includes `network.h` and the kernel header, and nothing else of the project. Everything that is package data
(the kernel header, `main.c`, the `Makefile`, start-up code, linker scripts) is written with the prefix `network`;
`renamed` turns it into the prefix that the user chose. The programs use only the C interface of `network.h`, so they
build against any directory that has it.
"""

import re
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

PREFIX, DEFAULT_CPU = "network", "cortex-m4"
KERNELS = "int8_kernels.h"  # static functions without the prefix: two networks in one program may share it


class FirmwareDir:
    """The files in one exported directory."""

    def __init__(self, path: Path, prefix: str = PREFIX) -> None:
        self.path, self.prefix = path, prefix
        self.source = path / f"{prefix}.c"  # weights and the sequence of layers
        self.header = path / f"{prefix}.h"  # the interface (contract section 9)
        self.about = path / "about.json"  # what was exported, and what was measured


def renamed(text: str, prefix: str) -> str:
    """Return `text` with `network_…`, `NETWORK_…`, `network.c` and `network.h` renamed to another prefix."""
    text = re.sub(r"\bnetwork(?=_|\.[ch]\b)", prefix, text)
    return re.sub(r"\bNETWORK(?=_)", prefix.upper(), text)


def write_programs(directory: Path, cpu: str = DEFAULT_CPU, prefix: str = PREFIX) -> None:
    """Write `main.c`, `Makefile` and `device/` into `directory`, for the network in `PREFIX.c` and `PREFIX.h`."""
    with as_file(files("cifar_exp.export.c") / "files") as source:
        for path in sorted(source.rglob("*")):
            if path.suffix in {".c", ".h", ".ld"} or path.name == "Makefile":
                target = directory / path.relative_to(source)
                target.parent.mkdir(parents=True, exist_ok=True)
                text = renamed(path.read_text(encoding="utf-8"), prefix)
                text = re.sub(rf"^CPU = {DEFAULT_CPU}$", f"CPU = {cpu}", text, flags=re.MULTILINE)
                target.write_text(text, encoding="utf-8")


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

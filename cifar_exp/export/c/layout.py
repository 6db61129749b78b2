"""The files of an exported firmware directory (`model_c/`), by name, and all of them but `network.c`.

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
from PIL import Image

from cifar_exp import __version__
from cifar_exp.files import write_text

PREFIX, DEFAULT_CPU = "network", "cortex-m4"
KERNELS = "int8_kernels.h"  # static functions without the prefix: two networks in one program may share it


HEADER = """\
/* {name}: {classes} classes from images of {height} × {width} pixels, {channels} bytes each.
 * Written by cifar-exp {version}. C99, no allocation, no floating point at inference.
 *
 *     static int32_t arena[NETWORK_ARENA_BYTES / 4];
 *     int32_t logits[NETWORK_CLASSES];
 *     memcpy(network_input(arena), pixels, NETWORK_INPUT_BYTES);
 *     network_run(arena, logits);
 *     puts(network_class_names[network_class(logits)]);
 */
#ifndef NETWORK_H
#define NETWORK_H

#include <stdint.h>

#define NETWORK_ARENA_BYTES {arena} /* working memory, aligned to 4 bytes, free between runs */
#define NETWORK_CLASSES {classes}
#define NETWORK_INPUT_HEIGHT {height}
#define NETWORK_INPUT_WIDTH {width}
#define NETWORK_INPUT_CHANNELS {channels}
#define NETWORK_INPUT_BYTES {pixels} /* height × width × channels */

#ifdef __cplusplus
extern "C" {{
#endif

/* Where the raw pixels 0–255 of an image go: row by row, channels last. The run overwrites them. */
uint8_t *network_input(void *arena);

/* Compute the logits of the image at network_input(arena); times network_logit_scale they are those of the training. */
void network_run(void *arena, int32_t logits[NETWORK_CLASSES]);

/* Return the index of the largest logit, the first of equal ones. */
int network_class(const int32_t logits[NETWORK_CLASSES]);

extern const char *const network_class_names[NETWORK_CLASSES];
extern const float network_logit_scale;

#ifdef __cplusplus
}}
#endif

#endif
"""


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


def in_comment(text: str) -> str:
    """Return `text` in one line that neither ends a comment of C nor begins one in it."""
    return " ".join(text.split()).replace("*/", "* /").replace("/*", "/ *")


def header_text(name: str, input_shape: tuple[int, ...], classes: int, arena_bytes: int, prefix: str = PREFIX) -> str:
    """Return `PREFIX.h`; `input_shape` is (channels, height, width)."""
    channels, height, width = input_shape
    return renamed(HEADER, prefix).format(
        name=in_comment(name),
        version=__version__,
        channels=channels,
        height=height,
        width=width,
        pixels=channels * height * width,
        classes=classes,
        arena=arena_bytes,
    )


def write_programs(directory: Path, cpu: str = DEFAULT_CPU, prefix: str = PREFIX) -> None:
    """Write `main.c`, `Makefile` and `device/` into `directory`, for the network in `PREFIX.c` and `PREFIX.h`."""
    with as_file(files("cifar_exp.export.c") / "files") as source:
        for path in sorted(source.rglob("*")):
            if path.suffix in {".c", ".h", ".ld"} or path.name == "Makefile":
                target = directory / path.relative_to(source)
                text = renamed(path.read_text(encoding="utf-8"), prefix)
                text = re.sub(rf"^CPU = {DEFAULT_CPU}$", f"CPU = {cpu}", text, flags=re.MULTILINE)
                write_text(target, text)


def write_example_image(directory: Path, image: NDArray[np.uint8], description: str) -> None:
    """Write an image, uint8 (H, W, 3), as `device/image.h` for the device and as `example.ppm` for the PC."""
    height, width, channels = image.shape
    rows = "\n".join(f"    {', '.join(map(str, row.ravel()))}," for row in image)
    header = (
        f"/* {in_comment(description)}: {height} x {width} x {channels}, row by row, channels last. */\n"
        "#include <stdint.h>\n\n"
        f"static const uint8_t example_image[{image.size}] = {{\n{rows}\n}};\n"
    )
    write_text(directory / "device" / "image.h", header)
    Image.fromarray(image).save(directory / "example.ppm")

"""The files of an exported firmware directory (`model_c/`), by name.

`network.c` includes `network.h` and the kernel header, and nothing else of the project. Everything that is package data
(the kernel header, `main.c`, the `Makefile`, start-up code, linker scripts) is written with the prefix `network`;
`renamed` turns it into the prefix that the user chose. The arena has to be aligned to 4 bytes.
"""

import re
from dataclasses import dataclass
from pathlib import Path

PREFIX = "network"
KERNELS = "int8_kernels.h"  # static functions without the prefix: two networks in one program may share it


@dataclass(frozen=True)
class FirmwareDir:
    """The files in one exported directory."""

    path: Path
    prefix: str = PREFIX

    @property
    def source(self) -> Path:
        """Weights and the sequence of layers."""
        return self.path / f"{self.prefix}.c"

    @property
    def header(self) -> Path:
        """The interface (contract section 9)."""
        return self.path / f"{self.prefix}.h"

    @property
    def kernels(self) -> Path:
        """The layers' arithmetic, in portable C and for processors with DSP instructions."""
        return self.path / KERNELS

    @property
    def main(self) -> Path:
        """An example that classifies an image."""
        return self.path / "main.c"

    @property
    def makefile(self) -> Path:
        """`make host` and `make arm`."""
        return self.path / "Makefile"

    @property
    def about(self) -> Path:
        """What was exported, and what was measured."""
        return self.path / "about.json"


def renamed(text: str, prefix: str) -> str:
    """Return `text` with `network_…`, `NETWORK_…`, `network.c` and `network.h` renamed to another prefix."""
    text = re.sub(r"\bnetwork(?=_|\.[ch]\b)", prefix, text)
    return re.sub(r"\bNETWORK(?=_)", prefix.upper(), text)

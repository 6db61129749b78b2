"""The cross compiler and the emulator for Cortex-M processors."""

import re
import subprocess
from pathlib import Path
from shutil import which

from cifar_exp.errors import RunFailedError

COMPILER, EMULATOR, MAKE = "arm-none-eabi-gcc", "qemu-system-arm", "make"
ERROR_LINES = 8  # of a tool's messages

# Instructions per tick of SysTick under `-icount shift=0`, where one instruction takes 1 ns: 1000 / the clock in MHz of
# the emulated board (files/Makefile).
INSTRUCTIONS_PER_TICK = {
    "cortex-m0": 62.5,  # microbit, 16 MHz
    "cortex-m3": 40.0,  # mps2-an385, 25 MHz
    "cortex-m4": 40.0,  # mps2-an386, 25 MHz
    "cortex-m7": 40.0,  # mps2-an500, 25 MHz
    "cortex-m55": 31.25,  # mps3-an547, 32 MHz
}
CPUS = tuple(INSTRUCTIONS_PER_TICK)


class FirmwareError(RunFailedError):
    """An exported program does not build, does not run to its end, or computes something else than expected."""


def find_toolchain(cpu: str) -> str | None:
    """Return the tools that build and emulate programs for `cpu`, one of CPUS; None where one is missing.

    As in "arm-none-eabi-gcc 12.2.1, qemu-system-arm 7.2.22".
    """
    if cpu not in CPUS or missing_tools():
        return None
    return ", ".join(f"{tool} {_version(tool)}" for tool in (COMPILER, EMULATOR))


def missing_tools() -> list[str]:
    """Return the names of what is not installed, the C library (newlib) included."""
    missing = [tool for tool in (MAKE, COMPILER, EMULATOR) if which(tool) is None]
    if COMPILER not in missing and not Path(_output(COMPILER, "--print-file-name=nano.specs")).is_absolute():
        missing.append("newlib (libnewlib-arm-none-eabi)")
    return missing


def install_note() -> str:
    """Return one line on what is missing and how to install it."""
    return (
        f"No emulation: {', '.join(missing_tools())} not found. Install with: "
        "apt-get install make gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm"
    )


def _version(tool: str) -> str:
    found = re.search(r"\d+\.\d+(\.\d+)?", re.sub(r"\(.*?\)", "", _output(tool, "--version")))
    return found.group() if found else "of unknown version"


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

"""The hardware and versions of a measurement, without names or paths of the machine."""

import os
import platform
import re
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("cifar-exp", "torch", "pytorch-lightning", "torchvision", "torchmetrics", "numpy", "pillow")


def facts(device: str) -> dict[str, Any]:
    """Processor, memory, accelerator, versions, date (UTC), and how busy the machine is."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
        "device": device_name(device),
        "cpu": cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": os.environ.get("OMP_NUM_THREADS", "as torch chooses"),
        "memory_gb": _memory_gb(),
        "load_average": load(),
        "system": platform.system(),
        "python": platform.python_version(),
        **{name: version_of(name) for name in PACKAGES},
    }


def version_of(package: str) -> str | None:
    """Return a package's version; of one that runs from a clone that was never installed, where it can be imported."""
    try:
        return version(package)
    except PackageNotFoundError:
        module = sys.modules.get(package.replace("-", "_"))
        return getattr(module, "__version__", None)


def device_name(device: str) -> str:
    """Return the accelerator's own name, or `cpu`."""
    if device != "cuda":
        return device
    import torch

    return torch.cuda.get_device_name()


def cpu_name() -> str:
    """Return the processor as it calls itself, with the instructions that matter here."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    name = re.search(r"model name\s*:\s*(.+)", text)
    flags = re.search(r"flags\s*:\s*(.+)", text)
    known = set(flags[1].split()) if flags else set()
    extras = [label for flag, label in (("avx2", "AVX2"), ("avx512f", "AVX-512"), ("amx_bf16", "AMX")) if flag in known]
    return f"{name[1] if name else platform.machine()} ({', '.join(extras)})"


def load() -> float | None:
    """Return how many processes wanted a core in the last minute."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def slug(device: str) -> str:
    """Return the device in a file's name."""
    return re.sub(r"[^a-z0-9]+", "-", device_name(device).lower()).strip("-")


def _memory_gb() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (AttributeError, ValueError, OSError):
        return None


class Others:
    """How many cores other processes than `pid` and its children use, from now on; on Linux only."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._started, self._busy, self._own = time.monotonic(), _busy_seconds(), _own_seconds(pid)

    def cores(self) -> float:
        """Return the mean since the start; 0 where it cannot be known."""
        seconds = time.monotonic() - self._started
        return max(0.0, (_busy_seconds() - self._busy - _own_seconds(self._pid) + self._own) / seconds)


def _busy_seconds() -> float:
    """Of all cores since the machine's start."""
    try:
        fields = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:]
    except OSError:
        return 0.0
    user, nice, system, _, _, interrupts, soft = map(int, fields[:7])
    return (user + nice + system + interrupts + soft) / os.sysconf("SC_CLK_TCK")


def _own_seconds(pid: int) -> float:
    """Of process `pid` and its living children."""
    seconds = 0.0
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = file.read_text(errors="replace").rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(file.parent.name) == pid or int(fields[1]) == pid:
            seconds += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return seconds

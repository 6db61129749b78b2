"""A network as firmware, planned without training: fused integer operations, their memory, flash and SRAM."""

from cifar_exp.network.firmware.arena import Arena, arrange
from cifar_exp.network.firmware.fuse import UnsupportedError, fuse, unsupported_feature
from cifar_exp.network.firmware.memory import flash_by_operation, flash_bytes, sram_by_operation, sram_bytes
from cifar_exp.network.firmware.operations import Operation

__all__ = [
    "Arena",
    "Operation",
    "UnsupportedError",
    "arrange",
    "flash_by_operation",
    "flash_bytes",
    "fuse",
    "sram_by_operation",
    "sram_bytes",
    "unsupported_feature",
]

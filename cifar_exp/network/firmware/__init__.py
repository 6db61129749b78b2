"""A network as firmware, planned without training: fused integer operations, their memory, flash and SRAM."""

from cifar_exp.network.firmware.arena import Arena, arrange
from cifar_exp.network.firmware.fuse import UnsupportedError, fuse
from cifar_exp.network.firmware.operations import Operation

__all__ = ["Arena", "Operation", "UnsupportedError", "arrange", "fuse"]

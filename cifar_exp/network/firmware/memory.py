"""Flash and SRAM of a network's firmware, planned: the bytes of `make arm` for a Cortex-M4 with -O3.

Constants are counted as `export/c` writes them. The sizes of the code and of the stack were measured with GCC 12 and
newlib-nano on 90 networks. Two things are not planned: equal arrays, which are stored once, and how far the compiler
specialises a kernel that is called once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from cifar_exp.network.firmware.arena import arrange, spans_of
from cifar_exp.network.firmware.operations import Epilogue, Operation, features_of, padded
from cifar_exp.network.ops import Shape

WORD = 4
TABLE_BYTES = 256
STRUCT_BYTES = {"conv": 64, "depthwise": 60, "separable": 72, "elementwise": 36, "max_pool": 36, "avg_pool": 36}
CALL_BYTES = 20  # of each operation in network_run()
PROGRAM_BYTES = 1634  # start-up code, main(), network_run() itself, memcpy, memset, the kernel of the logits


class Code(NamedTuple):
    """The bytes of a kernel; more with tables, with projections, and with a ReLU in some or all convolutions."""

    alone: int
    tables: int = 0
    projections: int = 0
    relus: tuple[int, int, int] = (0, 0, 0)


KERNELS = {
    "logits": Code(0, relus=(0, 92, 92)),
    "multiply": Code(1194, 464, 540, (0, -450, -450)),  # of conv and separable
    "conv": Code(784, projections=190),
    "depthwise": Code(1380, 80, relus=(0, 100, 100)),
    "separable": Code(1800, 200, 170),
    "elementwise": Code(320, 130),
    "max_pool": Code(178),
    "avg_pool": Code(260),
}
FOURS_BYTES = (670, 1090)  # for 1×1 convolutions of up to four channels; with tables
SINGLE_CONV_BYTES, SINGLE_PIXEL_BYTES = 1200, 700  # kernels_conv() where one operation calls it; a 1×1 convolution's
LOGITS_STACK, CONV_STACK, PROJECTION_STACK, DEPTHWISE_STACK, SEPARABLE_STACK = 300, 400, 428, 276, 468


def flash_bytes(operations: Sequence[Operation]) -> int:
    """Return the bytes of a whole program in flash: the network's constants, kernels and start-up code."""
    has = features_of(operations)
    kernels = {"logits" if operation.is_logits else operation.kind for operation in operations}
    size = PROGRAM_BYTES + CALL_BYTES * len(operations) + sum(map(_constants, operations))
    if kernels & {"conv", "separable"}:
        kernels.add("multiply")
        size += FOURS_BYTES[has["TABLES"]] * has["FOURS"]
    for kernel in map(KERNELS.__getitem__, kernels):
        size += kernel.alone + kernel.tables * has["TABLES"] + kernel.projections * has["PROJECTIONS"]
        size += kernel.relus[has["RELUS"]]
    singles = [operation for operation in operations if operation.kind == "conv" and not operation.is_logits]
    if len(singles) == 1:
        is_pixel = singles[0].patch_values == padded(singles[0].in_shape[0]) > padded(1)
        size += (SINGLE_PIXEL_BYTES if is_pixel else SINGLE_CONV_BYTES) - KERNELS["conv"].alone
    return size


def sram_bytes(operations: Sequence[Operation], input_shape: Shape, num_classes: int) -> int:
    """Return the bytes of SRAM: the arena and the stack."""
    return arrange(operations, input_shape).size + _stack_bytes(operations) + WORD * num_classes


def _stack_bytes(operations: Sequence[Operation]) -> int:
    """Return the stack of the deepest kernel and of what calls it; depthwise kernels keep a pointer for each tap."""
    stack = LOGITS_STACK
    taps = max([2, *(part.kernel_size**2 for operation in operations for part in operation.spatial)])
    for operation in operations:
        if operation.conv and not operation.is_logits:
            stack = max(stack, PROJECTION_STACK if operation.skip_values else CONV_STACK)
        if operation.spatial:
            own = SEPARABLE_STACK if operation.kind == "separable" else DEPTHWISE_STACK
            stack = max(stack, own + WORD * taps)
    return stack


def flash_by_operation(operations: Sequence[Operation]) -> dict[str, int]:
    """Return the bytes of each operation's constants."""
    return {operation.name: _constants(operation) for operation in operations}


def sram_by_operation(operations: Sequence[Operation], input_shape: Shape) -> dict[str, int]:
    """Return how much of the arena each operation needs: from the first to the last byte of what is alive."""
    spans = spans_of(arrange(operations, input_shape), operations, input_shape)
    return {operation.name: span for operation, span in zip(operations, spans, strict=True)}


def _constants(operation: Operation) -> int:
    size = STRUCT_BYTES[operation.kind]
    channels = operation.out_shape[0]
    if operation.kind in ("max_pool", "avg_pool"):
        return size
    size += _epilogue_bytes(operation.epilogue, channels)
    conv = operation.conv
    if conv is not None:
        pairs = conv.groups * -(-(channels // conv.groups) // 2)
        if not operation.weights_of:
            size += pairs * 2 * operation.patch_values
        size += pairs * 2 * operation.skip_values
    for part in operation.spatial:
        if not operation.weights_of:
            size += part.kernel_size**2 * padded(part.channels)
    if operation.kind == "separable":
        size += _epilogue_bytes(operation.middle, operation.in_shape[0])
        size += STRUCT_BYTES["depthwise"] * len(operation.spatial)
    if operation.kind != "elementwise":
        size += operation.in_shape[0]  # the values of a pixel of padding
    return size


def _epilogue_bytes(epilogue: Epilogue, channels: int) -> int:
    words = 2 + epilogue.relu + (epilogue.skip is not None)
    return words * WORD * channels + epilogue.has_table * TABLE_BYTES

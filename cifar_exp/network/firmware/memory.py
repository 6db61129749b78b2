"""Flash and SRAM of a network's firmware, planned: the bytes of `make arm` for a Cortex-M4 with -O3.

Constants are counted exactly as `export/c` writes them. The sizes of the code and of the stack were measured with
GCC 12 and newlib-nano; they vary little from network to network.
"""

from __future__ import annotations

from collections.abc import Sequence

from cifar_exp.network.firmware.arena import arrange, spans_of
from cifar_exp.network.firmware.operations import Epilogue, Operation, padded
from cifar_exp.network.ops import Shape

WORD = 4
TABLE_BYTES = 256
STRUCT_BYTES = {"conv": 64, "depthwise": 60, "separable": 72, "elementwise": 36, "max_pool": 36, "avg_pool": 36}
CALL_BYTES = 24  # of each operation in network_run()
PROGRAM_BYTES = (
    3520  # start-up code, main(), network_run() itself, memcpy, memset; convolutions, which every network has
)
KERNEL_BYTES = {"conv": 0, "depthwise": 1440, "separable": 1660, "elementwise": 0, "max_pool": 115, "avg_pool": 265}
TABLE_CODE, PROJECTION_CODE, COPY_CODE, SMALL_CODE, RELUS_CODE = 595, 570, 380, 155, 710  # of what some networks have
CONV_STACK, PROJECTION_STACK, DEPTHWISE_STACK, SEPARABLE_STACK = 400, 428, 276, 468


def flash_bytes(operations: Sequence[Operation], num_classes: int) -> int:
    """Return the bytes of a whole program in flash: the network's constants, kernels and the example around them."""
    size = PROGRAM_BYTES + sum(map(_constants, operations)) + CALL_BYTES * len(operations) + 2 * WORD * num_classes
    size += sum(KERNEL_BYTES[kind] for kind in {operation.kind for operation in operations})
    size += TABLE_CODE * any(operation.epilogue.has_table for operation in operations)
    size += PROJECTION_CODE * any(operation.skip_values for operation in operations)
    size += COPY_CODE * any(operation.copies_skip for operation in operations)
    size += SMALL_CODE * any(operation.patch_values == padded(1) for operation in operations)
    relus = {operation.epilogue.relu for operation in operations if operation.conv and not operation.is_logits}
    return size + RELUS_CODE * (len(relus) > 1)


def sram_bytes(operations: Sequence[Operation], input_shape: Shape, num_classes: int) -> int:
    """Return the bytes of SRAM: the arena and the stack."""
    return arrange(operations, input_shape).size + _stack_bytes(operations) + WORD * num_classes


def _stack_bytes(operations: Sequence[Operation]) -> int:
    """Return the stack of the deepest kernel and of what calls it; depthwise kernels keep a pointer for each tap."""
    stack = CONV_STACK
    taps = max([2, *(part.kernel_size**2 for operation in operations for part in operation.spatial)])
    for operation in operations:
        if operation.skip_values:
            stack = max(stack, PROJECTION_STACK)
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
        if not operation.weights_of:
            pairs = conv.groups * -(-(channels // conv.groups) // 2)
            size += pairs * 2 * operation.patch_values
        if operation.skip_values:
            size += -(-channels // 2) * 2 * operation.skip_values
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

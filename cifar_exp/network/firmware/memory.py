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
KERNEL_BYTES = {
    "conv": 1900,
    "depthwise": 1100,
    "separable": 1700,
    "elementwise": 350,
    "max_pool": 200,
    "avg_pool": 250,
}
CALL_BYTES = 24  # of each operation in network_run()
PROGRAM_BYTES = 1800  # start-up code, main(), network_run() itself, logits, memcpy and memset
STACK_BYTES = 530


def flash_bytes(operations: Sequence[Operation], num_classes: int) -> int:
    """Return the bytes of a whole program in flash: the network's constants, kernels and the example around them."""
    constants = sum(flash_by_operation(operations).values())
    kernels = sum(KERNEL_BYTES[kind] for kind in {operation.kind for operation in operations})
    calls = CALL_BYTES * len(operations)
    return constants + kernels + calls + PROGRAM_BYTES + 2 * WORD * num_classes


def sram_bytes(operations: Sequence[Operation], input_shape: Shape) -> int:
    """Return the bytes of SRAM: the arena and the stack."""
    return arrange(operations, input_shape).size + STACK_BYTES


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
    has_table = epilogue.activation not in (None, "relu", "relu6")
    return words * WORD * channels + has_table * TABLE_BYTES

"""The memory of firmware: at which offset of one arena each tensor is, such that none is overwritten too early.

An operation writes its output in order while it reads its input in order, so that an output may overlap an input that
nothing reads later (as in TinyEngine, Lin et al. 2021, arXiv:2110.15352, §3.2): only its start has to be some bytes
lower, its *lead*.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from cifar_exp.network.firmware.operations import INPUT, Operation
from cifar_exp.network.ops import Shape, numel

ALIGNMENT = 4
Interval = tuple[int, int]  # open, of offsets that a tensor must not have


@dataclass(frozen=True)
class Arena:
    """Offsets in bytes: of tensors by name, and of each operation's scratch memory by `scratch_name`."""

    size: int
    offsets: dict[str, int]


@dataclass(frozen=True)
class _Block:
    """A tensor or scratch memory, with the operations at which it is alive."""

    name: str
    size: int
    first: int
    last: int


def scratch_name(operation: Operation) -> str:
    """The name of an operation's scratch memory; no tensor has it."""
    return f"{operation.name} scratch"


def arrange(operations: Sequence[Operation], input_shape: Shape, overlap: bool = True) -> Arena:
    """Return the smallest arena that was found for the operations; without `overlap`, all that lives is apart."""
    blocks = _blocks(operations, input_shape)
    by_size = sorted(blocks, key=lambda block: -block.size)
    orders = (by_size, blocks, blocks[::-1]) if overlap else (by_size,)
    return min((_place(order, operations, overlap) for order in orders), key=lambda arena: arena.size)


def _blocks(operations: Sequence[Operation], input_shape: Shape) -> list[_Block]:
    last_read = {INPUT: 0}
    for index, operation in enumerate(operations):
        for name in operation.reads:
            last_read[name] = index
    blocks = [_Block(INPUT, numel(input_shape), 0, last_read[INPUT])]
    for index, operation in enumerate(operations):
        if operation.scratch_bytes:
            blocks.append(_Block(scratch_name(operation), operation.scratch_bytes, index, index))
        if operation.out_bytes:
            blocks.append(_Block(operation.target, operation.out_bytes, index, last_read.get(operation.target, index)))
    return blocks


def _place(blocks: Iterable[_Block], operations: Sequence[Operation], overlap: bool) -> Arena:
    """Give each block in turn the offset that lets the arena grow least."""
    placed: list[tuple[_Block, int]] = []
    low = high = 0
    for block in blocks:
        forbidden: list[Interval] = []
        for other, offset in placed:
            if other.first <= block.last and block.first <= other.last:
                forbidden += _forbidden(block, other, offset, operations, overlap)
        choices = {0, *(-(-end // ALIGNMENT) * ALIGNMENT for _, end in forbidden)}
        choices |= {start // ALIGNMENT * ALIGNMENT for start, _ in forbidden}
        best = min(
            (max(high, choice + block.size) - min(low, choice), abs(choice), choice)
            for choice in choices
            if not any(start < choice < end for start, end in forbidden)
        )[2]
        placed.append((block, best))
        low, high = min(low, best), max(high, best + block.size)
    size = -(-(high - low) // ALIGNMENT) * ALIGNMENT
    return Arena(size, {block.name: offset - low for block, offset in placed})


def _forbidden(
    block: _Block, other: _Block, offset: int, operations: Sequence[Operation], overlap: bool
) -> list[Interval]:
    """Return the offsets that `block` must not have beside `other` at `offset`."""
    for output, dying in ((block, other), (other, block)) if overlap else ():
        writer = operations[output.first]
        if output.name == writer.target and dying.last == output.first and dying.name in writer.reads:
            lead = _lead_of(writer, dying.name)
            if output is block:  # dying - output >= lead, or output - dying >= size of dying
                intervals = [(offset - lead, offset + other.size)]
            else:
                intervals = [(offset - block.size, offset + lead)]
            if _works_in_place(writer, dying.name):
                intervals = [part for start, end in intervals for part in ((start, offset), (offset, end))]
            return [(start, end) for start, end in intervals if start < end]
    return [(offset - block.size, offset + other.size)]


def _works_in_place(operation: Operation, tensor: str) -> bool:
    """Whether the output may take exactly the place of an input, which is read element by element ahead of it."""
    skip = operation.epilogue.skip
    if tensor == operation.source:
        return operation.kind == "elementwise" and (skip is None or skip.tensor != tensor)
    return (
        skip is not None and skip.kind in ("identity", "scaled") and skip.stride == 1 and not operation.copies_skip
    )


def _lead_of(operation: Operation, tensor: str) -> int:
    """Return by how many bytes the output has to start below an input that it may overwrite."""
    channels, height, width = operation.out_shape
    out = (channels, height, width)
    leads = []
    skip = operation.epilogue.skip
    by_pairs = operation.kind in ("conv", "separable")
    if tensor == operation.source:
        if operation.kind == "elementwise":
            leads.append(lead(operation.in_shape, out, 1, 0, 1, False))
        elif operation.window != (1, 1):
            rows, columns = operation.window
            leads.append(lead(operation.in_shape, out, (rows, columns), 0, 1, False))
        else:
            convs = operation.spatial or (operation.conv,)
            reads_first = by_pairs and (operation.kind == "separable" or convs[0].groups == 1)  # type: ignore[union-attr]
            leads += [
                lead(operation.in_shape, out, conv.stride, conv.dilation * (conv.kernel_size - 1) // 2,
                     2 if by_pairs else 1, reads_first)
                for conv in convs if conv is not None
            ]  # fmt: skip
    if skip is not None and tensor == skip.tensor:
        reads_first = (skip.kind == "full" or operation.copies_skip) and by_pairs
        reads_first = reads_first and (operation.conv is None or operation.conv.groups == 1)
        leads.append(lead(skip.shape, out, skip.stride, 0, 2 if by_pairs else 1, reads_first))
    return max(leads)


@lru_cache(maxsize=4096)
def lead(
    in_shape: Shape, out_shape: Shape, stride: int | tuple[int, int], before: int, pixels: int, reads_first: bool
) -> int:
    """Return the greatest number of bytes by which the end of what is written passes what is still read.

    Args:
        in_shape: (channels, height, width) of the tensor that is read.
        out_shape: (channels, height, width) of the tensor that is written.
        stride: Between the pixels read for neighbouring outputs, or (rows, columns).
        before: Rows and columns of padding at the top and at the left.
        pixels: Output pixels that are computed together.
        reads_first: Whether all reads for these pixels precede their writes.
    """
    in_channels, _, in_width = in_shape
    out_channels, height, width = out_shape
    rows, columns = stride if isinstance(stride, tuple) else (stride, stride)
    if reads_first and height * width <= pixels:
        return -numel(in_shape)  # everything is read before anything is written

    def passed(row: int, column: int, first_read: int | None = None) -> int:
        written = (row * width + column + (0 if reads_first else pixels)) * out_channels
        read = (max(0, row * rows - before) * in_width + max(0, column * columns - before)) * in_channels
        return written - (read if first_read is None else first_read)

    # What is written grows evenly, and what is read stands still until the padding is passed, then grows evenly:
    # the difference is greatest at one of these corners.
    some_rows = {min(before // rows, height - 1), height - 1}
    some_columns = {min(before // columns, width - 1), width - 1}
    greatest = max(passed(row, column) for row in some_rows for column in some_columns)
    restart = min(before // rows, height - 1) - 1  # the last row after which the first pixel is read once more
    return max(greatest, passed(restart, width - 1, 0)) if restart >= 0 else greatest

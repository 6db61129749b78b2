"""The memory of firmware: at which offset of one arena each tensor is, such that none is overwritten too early.

An operation writes its output in order while it reads its input in order, so that an output may overlap an input that
nothing reads later (as in TinyEngine, Lin et al. 2021, arXiv:2110.15352, §3.2): only its start has to be some bytes
lower, its *lead*.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import inf, prod
from typing import NamedTuple

from cifar_exp.network.firmware.operations import INPUT, Operation
from cifar_exp.network.ops import Shape

ALIGNMENT = 4
_Pair = tuple[int, list[tuple[int, int]]]  # another block, and open intervals of distances to it


@dataclass(frozen=True)
class Arena:
    """Offsets in bytes: of tensors by name, and of each operation's scratch memory by `scratch_name`."""

    size: int
    offsets: dict[str, int]


class _Block(NamedTuple):
    """A tensor or scratch memory, with the operations at which it is alive."""

    name: str
    size: int
    first: int
    last: int


def scratch_name(operation: Operation) -> str:
    """Return the name of an operation's scratch memory; no tensor has it."""
    return f"{operation.name} scratch"


def arrange(operations: Sequence[Operation], input_shape: Shape) -> Arena:
    """Return the smallest arena that was found for the operations."""
    blocks = _blocks(operations, input_shape)
    pairs = _pairs(blocks, operations)
    by_size = sorted(range(len(blocks)), key=lambda index: -blocks[index].size)
    placed = _place(by_size, blocks, pairs)
    assert placed is not None
    placed = _place(range(len(blocks)), blocks, pairs, below=placed.size) or placed
    size = -(-placed.size // ALIGNMENT) * ALIGNMENT
    offsets = {blocks[index].name: offset - placed.low for index, offset in placed.offsets.items()}
    return Arena(size, offsets)


def spans_of(arena: Arena, operations: Sequence[Operation], input_shape: Shape) -> list[int]:
    """Return, for each operation, the bytes from the first to the last one that is alive while it runs."""
    blocks, spans = _blocks(operations, input_shape), []
    for index in range(len(operations)):
        alive = [block for block in blocks if block.first <= index <= block.last]
        behind = max(arena.offsets[block.name] + block.size for block in alive)
        spans.append(behind - min(arena.offsets[block.name] for block in alive))
    return spans


def _blocks(operations: Sequence[Operation], input_shape: Shape) -> list[_Block]:
    last_read = {INPUT: 0}
    for index, operation in enumerate(operations):
        for name in operation.reads:
            last_read[name] = index
    blocks = [_Block(INPUT, prod(input_shape), 0, last_read[INPUT])]
    for index, operation in enumerate(operations):
        if not operation.is_logits:
            last = last_read.get(operation.name, index)
            blocks.append(_Block(operation.name, prod(operation.out_shape), index, last))
        if size := operation.scratch_bytes:
            blocks.append(_Block(scratch_name(operation), size, index, index))
    return blocks


def _pairs(blocks: Sequence[_Block], operations: Sequence[Operation]) -> list[list[_Pair]]:
    """Return, for each block, the blocks that are alive beside it, with the forbidden distances to each."""
    pairs: list[list[_Pair]] = [[] for _ in blocks]
    for index, block in enumerate(blocks):
        for other_index in range(index + 1, len(blocks)):
            other = blocks[other_index]
            if other.first > block.last:
                break  # blocks stand in the order of their first operation
            if block.last == other.first:
                forbidden = _forbidden(block, other, operations[other.first])
                pairs[other_index].append((index, forbidden))
                pairs[index].append((other_index, [(-end, -start) for start, end in forbidden]))
            else:
                pairs[other_index].append((index, [(-other.size, block.size)]))
                pairs[index].append((other_index, [(-block.size, other.size)]))
    return pairs


def _forbidden(block: _Block, other: _Block, writer: Operation) -> list[tuple[int, int]]:
    """Return the forbidden distances from `block` to `other`, which `writer` makes while it reads `block` last."""
    if other.name != writer.name or block.name not in writer.reads:
        return [(-other.size, block.size)]
    start = -_lead_of(writer, block.name)
    if _works_in_place(writer, block.name):
        return [(first, end) for first, end in ((start, 0), (0, block.size)) if first < end]
    return [(start, block.size)] if start < block.size else []


class _Placed(NamedTuple):
    low: int  # the least offset
    size: int
    offsets: dict[int, int]  # by block


def _place(
    order: Sequence[int], blocks: Sequence[_Block], pairs: Sequence[list[_Pair]], below: float = inf
) -> _Placed | None:
    """Give each block in turn the offset that lets the arena grow least; None once its size is not `below` a limit."""
    offsets: dict[int, int] = {}
    low = high = 0
    for index in order:
        size = blocks[index].size
        forbidden = [
            (offsets[other] + start, offsets[other] + end)
            for other, intervals in pairs[index]
            if other in offsets
            for start, end in intervals
        ]
        grown, offset = _least_growth(size, forbidden, low, high)
        if grown >= below:
            return None
        offsets[index] = offset
        low, high = min(low, offset), max(high, offset + size)
    return _Placed(low, high - low, offsets)


def _least_growth(size: int, forbidden: Sequence[tuple[int, int]], low: int, high: int) -> tuple[float, int]:
    """Return the least size of an arena from `low` to `high` with `size` bytes more, and their offset, near zero."""
    choices = {0}
    for start, end in forbidden:
        choices.add(start - start % ALIGNMENT)
        choices.add(end + -end % ALIGNMENT)
    least, best = inf, 0
    for choice in sorted(choices, key=abs):
        end = choice + size
        grown = (end if end > high else high) - (choice if choice < low else low)
        if grown < least and not _is_forbidden(choice, forbidden):
            least, best = grown, choice
            if grown == high - low:
                break
    return least, best


def _is_forbidden(choice: int, intervals: Sequence[tuple[int, int]]) -> bool:
    for start, end in intervals:  # noqa: SIM110 - any() takes twice the time
        if start < choice < end:
            return True
    return False


def _works_in_place(operation: Operation, tensor: str) -> bool:
    """Return whether the output may take exactly the place of an input, which is read ahead of it."""
    skip = operation.epilogue.skip
    if tensor == operation.source:
        return operation.kind == "elementwise" and (skip is None or skip.tensor != tensor)
    return skip is not None and skip.kind in ("identity", "scaled") and skip.stride == 1 and not operation.copies_skip


def _lead_of(operation: Operation, tensor: str) -> int:
    """Return by how many bytes the output has to start below an input that it may overwrite."""
    out, conv, skip = operation.out_shape, operation.conv, operation.epilogue.skip
    pixels = 2 if conv else 1
    reads_first = conv is not None and conv.groups == 1
    leads = []
    if tensor == operation.source:
        spatial = operation.spatial or ((conv,) if conv else ())
        for part in spatial:
            before = part.dilation * (part.kernel_size - 1) // 2
            leads.append(lead(operation.in_shape, out, part.stride, before, pixels, reads_first))
        if not spatial:
            leads.append(lead(operation.in_shape, out, operation.window, 0, 1, False))
    if skip is not None and tensor == skip.tensor:
        copies = skip.kind == "full" or operation.copies_skip
        leads.append(lead(skip.shape, out, skip.stride, 0, pixels, reads_first and copies))
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
        return -prod(in_shape)  # everything is read before anything is written
    written = 0 if reads_first else pixels * out_channels
    greatest = written + _ahead(height - 1, width * out_channels, rows, before, in_width * in_channels)
    greatest += _ahead(width - 1, out_channels, columns, before, in_channels)
    restart = min(before // rows, height - 1)  # the last row before which the first pixel is read once more
    return max(greatest, written + (restart * width - 1) * out_channels) if restart else greatest


def _ahead(last: int, written: int, stride: int, before: int, read: int) -> int:
    """Return the most by which `written` bytes per position pass `read` bytes per input position, up to `last`.

    What is written grows evenly; what is read stands still within the padding, takes one shorter step and then grows
    evenly: the difference is greatest at one of these corners.
    """
    corner = min(before // stride, last)
    return max(
        position * written - max(0, position * stride - before) * read
        for position in (corner, min(corner + 1, last), last)
    )

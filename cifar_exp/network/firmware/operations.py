"""The integer operations of firmware: each is a layer's convolution, or its pool, with all that follows in one step.

Every tensor has 8-bit elements, row by row, channels last. An operation computes, for each output element,

    y = saturate((multiplier · max(accumulator, 0) + offset + skip_multiplier · skip) >> shift)

with constants for each channel (the maximum only where a ReLU precedes the batch norm), then looks `y` up in a table
where its last step is an activation other than a ReLU.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from cifar_exp.network.ops import Conv, MixedDepthwise, Op, Shape

Kind = Literal["conv", "depthwise", "separable", "elementwise", "max_pool", "avg_pool"]
INPUT = "input"


class Key(NamedTuple):
    """A position in the plan: an operation of a layer's step; `add` and `projection` have index 0."""

    layer: str
    step: str
    position: int = 0


class Atom(NamedTuple):
    """One operation of the plan, at its position; the addition of a skip has no operation."""

    key: Key
    op: Op | None


class Skip(NamedTuple):
    """A tensor that is added, and how it is adapted on the way."""

    tensor: str
    shape: Shape  # of the tensor
    stride: int
    kind: Literal["identity", "scaled", "pad", "full"]  # full: a 1×1 convolution over all channels
    key: Key | None = None  # of the projection
    op: Op | None = None  # the projection


class Epilogue(NamedTuple):
    """What happens to an accumulator before it is stored."""

    before: tuple[Atom, ...] = ()  # norms and scales ahead of a ReLU on the accumulator
    relu: bool = False  # a ReLU on the accumulator, followed by a norm, a scale or an addition
    after: tuple[Atom, ...] = ()  # norms, scales and the addition
    activation: str | None = None  # the last step
    skip: Skip | None = None
    range_key: Key | None = None  # the position whose values are those before `activation`; None: the source
    key: Key | None = None  # the position whose values are stored

    @property
    def has_table(self) -> bool:
        """Whether the last step is looked up: an activation that saturation does not compute."""
        return self.activation not in (None, "relu", "relu6")


class Operation(NamedTuple):
    """One integer operation: what it reads, computes and writes."""

    name: str  # that of the tensor it writes, too
    kind: Kind
    source: str  # the tensor it reads, or `input`
    in_shape: Shape  # (channels, height, width)
    out_shape: Shape
    epilogue: Epilogue
    conv: Conv | None = None  # conv, depthwise: the convolution; separable: its 1×1 convolution
    conv_key: Key | None = None  # whose weights
    spatial: tuple[Conv, ...] = ()  # depthwise, separable: the depthwise parts, one per kernel size
    spatial_key: Key | None = None
    middle: Epilogue = Epilogue()  # separable: between its two convolutions
    window: tuple[int, int] = (1, 1)  # pools: height and width
    is_logits: bool = False  # writes 32-bit logits instead of a tensor
    weights_of: str = ""  # the operation that holds the weights, where they are shared

    @property
    def patch_values(self) -> int:
        """Values of one pixel's patch, each tap or channel group padded to four: what a dot product runs over."""
        if self.kind == "separable":
            return padded(self.in_shape[0])
        if self.kind == "conv" and self.conv is not None:
            return self.conv.kernel_size**2 * padded(self.in_shape[0] // self.conv.groups)
        return 0

    @property
    def skip_values(self) -> int:
        """Values of one pixel's patch of a skip with a full projection."""
        skip = self.epilogue.skip
        return padded(skip.shape[0]) if skip is not None and skip.kind == "full" else 0

    @property
    def copies_skip(self) -> bool:
        """Whether the skip's pixels are copied before they are added, as their channels are not the output's."""
        skip = self.epilogue.skip
        return skip is not None and skip.kind != "full" and skip.shape[0] != self.out_shape[0]

    @property
    def scratch_bytes(self) -> int:
        """Working memory beside its tensors: the patches of two pixels with 16 bits per value, copied skips."""
        patches = 2 * 2 * (self.patch_values + self.skip_values)
        return patches + (2 * self.out_shape[0] if self.copies_skip else 0)

    @property
    def reads(self) -> tuple[str, ...]:
        """The tensors it reads."""
        skip = self.epilogue.skip
        return (self.source,) if skip is None else (self.source, skip.tensor)


def padded(values: int) -> int:
    """Return the next multiple of four: 8-bit values are read four at a time."""
    return -(-values // 4) * 4


def features_of(operations: Sequence[Operation]) -> dict[str, int]:
    """Return what the operations have, by the names of the kernels' macros: other code takes up no flash."""
    convolutions = [one for one in operations if one.conv and not one.is_logits]
    parts = [part for one in operations for part in one.spatial]
    some_relus = int(any(one.epilogue.relu for one in operations))
    return {
        "TAPS": max([2, *(part.kernel_size**2 for part in parts)]),
        "TABLES": int(any(one.epilogue.has_table or one.middle.has_table for one in operations)),
        "RELUS": 2 if all(one.epilogue.relu for one in convolutions) else some_relus,
        "MIDDLE_RELUS": int(any(one.middle.activation in ("relu", "relu6") for one in operations)),
        "FOURS": int(any(one.patch_values == padded(1) for one in operations)),
        "PROJECTIONS": int(any(one.skip_values for one in operations)),
        "REPEATS": int(any(part.channels != part.in_shape[0] for part in parts)),
    }


def spatial_parts(op: Conv | MixedDepthwise) -> tuple[Conv, ...]:
    """Return the depthwise convolutions that `op` consists of; a split that passes through has a kernel of size 1."""
    if isinstance(op, Conv):
        return (op,)
    return tuple(
        Conv((split, *op.in_shape[1:]), split, kernel, op.stride, dilation, split, op.bias and kernel > 1)
        for split, kernel, dilation in zip(op.splits, op.kernel_sizes, op.dilations, strict=True)
    )

"""C source from integer operations: constants as arrays, one struct per operation, and the calls in their order."""

import re
from collections.abc import Iterable, Sequence
from itertools import accumulate

import numpy as np

from cifar_exp import __version__
from cifar_exp.export.c.integers import Finish, IntegerOperation, Integers
from cifar_exp.export.c.layout import KERNELS, PREFIX, in_comment, renamed
from cifar_exp.network.firmware.arena import Arena, scratch_name
from cifar_exp.network.firmware.operations import INPUT, Operation, features_of, padded
from cifar_exp.network.ops import Conv

COLUMNS = 118
SOURCE = """\
/* {about}: weights and layers. Written by cifar-exp {version}. */
#include "network.h"

{features}
#include "{kernels}"

const char *const network_class_names[NETWORK_CLASSES] = {{{class_names}}};
const float network_logit_scale = {logit_scale!r}f;
{constants}

uint8_t *network_input(void *arena)
{{
    return (uint8_t *)arena + {input_offset};
}}

void network_run(void *arena, int32_t logits[NETWORK_CLASSES])
{{
    kernels_center_pixels(network_input(arena), NETWORK_INPUT_BYTES);
{calls}
}}

int network_class(const int32_t logits[NETWORK_CLASSES])
{{
    int best = 0;
    for (int i = 1; i < NETWORK_CLASSES; i++)
        if (logits[i] > logits[best])
            best = i;
    return best;
}}
"""


class Emitter:
    """Writes the source of one network; equal arrays, such as shared weights, are written once."""

    def __init__(self, name: str, class_names: Sequence[str]) -> None:
        self._name = name
        self._class_names = class_names
        self._arrays: dict[tuple[str, bytes], str] = {}
        self._lines: list[str] = []

    def source(self, operations: Sequence[IntegerOperation], arena: Arena, prefix: str = PREFIX) -> str:
        """Return `PREFIX.c`."""
        calls = []
        for index, one in enumerate(operations):
            identifier = f"layer{index}_{re.sub('[^0-9A-Za-z]', '_', one.operation.name)}"
            self._lines += ["", f"/* {described(one.operation)} */"]
            calls.append(self._operation(identifier, one, arena))
        features = features_of([one.operation for one in operations])
        return renamed(SOURCE, prefix).format(
            about=in_comment(self._name),
            version=__version__,
            features="\n".join(f"#define KERNELS_{name} {value}" for name, value in features.items()),
            kernels=KERNELS,
            class_names=", ".join(_quoted(name) for name in self._class_names),
            logit_scale=operations[-1].logit_scale,
            constants="\n".join(self._lines),
            input_offset=arena.offsets[INPUT],
            calls="\n".join(f"    {call};" for call in calls),
        )

    def _operation(self, name: str, one: IntegerOperation, arena: Arena) -> str:
        """Write the constants of an operation; return its call."""
        operation = one.operation
        at = {tensor: f"(int8_t *)arena + {offset}" for tensor, offset in arena.offsets.items()}
        skip = operation.epilogue.skip
        scratch = arena.offsets.get(scratch_name(operation))
        patch = "NULL" if scratch is None else f"(int16_t *)arena + {scratch // 2}"
        x = at[operation.source]
        rest = f"{'NULL' if skip is None else at[skip.tensor]}, {at.get(operation.name, '')}, {patch}"
        if operation.kind in ("max_pool", "avg_pool"):
            self._struct("pool", name, _pool_fields(one))
            return f"kernels_{operation.kind}(&{name}, {x}, {at[operation.name]})"
        if operation.kind == "elementwise":
            channels, height, width = operation.in_shape
            fields = [self._finish(name, one.finish), *self._skip_fields(name, one)]
            fields += [f".height = {height}", f".width = {width}", f".channels = {channels}"]
            self._struct("elementwise", name, fields)
            return f"kernels_elementwise(&{name}, {x}, {rest})"
        if operation.kind == "depthwise":
            self._parts(name, one, name, one.finish, self._skip_fields(name, one))
            return f"kernels_depthwise({name}, {len(operation.spatial)}, {x}, {rest})"
        fields = self._conv_fields(name, one)
        if operation.kind == "separable":
            assert one.middle is not None
            self._parts(f"{name}_parts", one, f"{name}_depthwise", one.middle, [])
            parts = [f".parts = {name}_parts", f".part_count = {len(operation.spatial)}"]
            self._struct("separable", name, [*parts, f".pointwise = {{{', '.join(fields)}}}"])
            return f"kernels_separable(&{name}, {x}, {rest})"
        self._struct("conv", name, fields)
        if operation.is_logits:
            return f"kernels_logits(&{name}, {x}, logits, {patch})"
        return f"kernels_conv(&{name}, {x}, {rest})"

    def _conv_fields(self, name: str, one: IntegerOperation) -> list[str]:
        operation, conv = one.operation, one.operation.conv
        assert conv is not None
        assert one.weights is not None
        channels, height, width = operation.in_shape if operation.kind == "conv" else conv.in_shape
        weights = self._array(f"{name}_weights", "int8_t", packed(one.weights, conv.groups))
        padding = self._array(f"{name}_padding", "int8_t", one.padding) if operation.kind == "conv" else "NULL"
        return [
            self._finish(name, one.finish), *self._skip_fields(name, one),
            f".weights = {weights}", f".padding = {padding}",
            f".in_height = {height}", f".in_width = {width}", f".in_channels = {channels}",
            f".out_height = {operation.out_shape[1]}", f".out_width = {operation.out_shape[2]}",
            f".out_channels = {operation.out_shape[0]}", f".groups = {conv.groups}", *_kernel_fields(conv),
        ]  # fmt: skip

    def _parts(self, name: str, one: IntegerOperation, constants: str, finish: Finish, skip: list[str]) -> None:
        """Write the structs of the depthwise parts, each with its own channels of `finish`."""
        operation = one.operation
        channels, height, width = operation.in_shape
        *firsts, out_channels = accumulate((part.channels for part in operation.spatial), initial=0)
        finishes = [self._finish(constants, finish, first) for first in firsts]
        padding = self._array(f"{name}_padding", "int8_t", one.padding)
        structs = []
        for index, (conv, weights) in enumerate(zip(operation.spatial, one.spatial, strict=True)):
            array = self._array(f"{name}_weights{index}", "int8_t", packed_depthwise(weights))
            repeats = conv.channels // conv.in_shape[0]
            fields = [
                finishes[index], *skip, f".weights = {array}", f".padding = {padding}",
                f".in_height = {height}", f".in_width = {width}", f".in_channels = {channels}",
                f".out_height = {conv.out_shape[1]}", f".out_width = {conv.out_shape[2]}",
                f".out_channels = {out_channels}", f".first = {firsts[index]}", f".channels = {conv.channels}",
                *_kernel_fields(conv), f".repeats = {repeats}",
            ]  # fmt: skip
            structs.append("{" + ", ".join(fields) + "}")
        self._lines.append(_wrapped(f"static const struct depthwise {name}[] = {{{', '.join(structs)}}};"))

    def _finish(self, name: str, finish: Finish, first: int | None = None) -> str:
        """Return the `.finish` of an operation, or of its part whose channels begin with `first`."""
        rows = rows_of(finish)
        array = self._array(f"{name}_constants", "int32_t", rows)
        table = "NULL" if finish.table is None else self._array(f"{name}_table", "int8_t", finish.table)
        start = array if first is None else f"{array} + {first * rows.shape[1]}"
        has_skip, relu = int(finish.skip is not None), int(finish.bias is not None)
        low = max(finish.low, -(2**15))
        return (
            f".finish = {{.rows = {start}, .table = {table}, .row_length = {rows.shape[1]}, .gain = {finish.gain}, "
            f".shift = {finish.shift}, .relu = {relu}, .has_skip = {has_skip}, .low = {low}}}"
        )

    def _skip_fields(self, name: str, one: IntegerOperation) -> list[str]:
        skip = one.operation.epilogue.skip
        if skip is None:
            return []
        channels, _, width = skip.shape
        fields = [f".width = {width}", f".channels = {channels}", f".stride = {skip.stride}"]
        if one.skip_weights is not None:
            assert one.operation.conv is not None
            weights = packed(one.skip_weights[:, None], one.operation.conv.groups)
            array = self._array(f"{name}_skip_weights", "int8_t", weights)
            fields.append(f".weights = {array}")
        elif one.operation.copies_skip:
            repeats = one.operation.out_shape[0] // channels if skip.kind == "scaled" else 1
            fields += [".is_copied = 1", f".repeats = {repeats}"]
        return [f".skip = {{{', '.join(fields)}}}"]

    def _array(self, name: str, element: str, values: Integers) -> str:
        """Write an array, unless one of equal values is there; return its name."""
        flat = values.reshape(-1)
        key = (element, flat.astype(np.int32).tobytes())
        if key not in self._arrays:
            self._arrays[key] = name
            aligned = " KERNELS_ALIGNED" if element == "int8_t" else ""
            numbers = ", ".join(map(str, flat.tolist()))
            self._lines.append(_wrapped(f"static const {element} {name}[]{aligned} = {{{numbers}}};"))
        return self._arrays[key]

    def _struct(self, kind: str, name: str, fields: Iterable[str]) -> None:
        self._lines.append(_wrapped(f"static const struct {kind} {name} = {{{', '.join(fields)}}};"))


def packed(weights: Integers, groups: int) -> Integers:
    """Return weights (out, taps, in / groups) in the order of the kernels: by pairs of channels, four values of each.

    The channels of a tap are filled up to a multiple of four with zeros, the output channels of a group to a pair.
    """
    out, taps, inputs = weights.shape
    outputs = out // groups
    grouped = weights.reshape(groups, outputs, taps, inputs)
    filled = np.pad(grouped, [(0, 0), (0, outputs % 2), (0, 0), (0, padded(inputs) - inputs)])
    return filled.reshape(-1, 2, taps * padded(inputs) // 4, 4).transpose(0, 2, 1, 3)


def packed_depthwise(weights: Integers) -> Integers:
    """Return weights (channels, taps) in the order of the kernels: by fours of channels, by pairs of taps.

    The channels are filled up to a multiple of four with zeros. Of channels 0 to 3 and the taps t and u of a pair, the
    order is 0t 1t 0u 1u 2t 3t 2u 3u; that of a last tap without a second is 0 1 2 3.
    """
    channels, taps = weights.shape
    fours = np.pad(weights, [(0, padded(channels) - channels), (0, 0)]).reshape(-1, 4, taps)
    paired = fours[:, :, : taps // 2 * 2].reshape(len(fours), 2, 2, taps // 2, 2).transpose(0, 3, 1, 4, 2)
    last = fours[:, :, taps // 2 * 2 :]
    return np.concatenate([paired.reshape(len(fours), -1), last.reshape(len(fours), -1)], axis=1)


def rows_of(finish: Finish) -> Integers:
    """Return one row per channel: the bias of a ReLU, multiplier, offset, and the multiplier of a skip."""
    columns = [finish.bias, finish.multiplier, finish.offset, finish.skip]
    return np.stack([column for column in columns if column is not None], axis=1)


def described(operation: Operation) -> str:
    """Return what an operation does, for a comment."""
    sizes = " -> ".join(
        "x".join(map(str, (*shape[1:], shape[0]))) for shape in (operation.in_shape, operation.out_shape)
    )
    parts = [operation.kind.replace("_", " ")]
    kernels = operation.spatial or ((operation.conv,) if operation.conv else ())
    parts += ["/".join(f"{one.kernel_size}x{one.kernel_size}" for one in kernels)] if kernels else []
    epilogue = operation.epilogue
    parts += ["ReLU"] if epilogue.relu else []
    parts += [f"skip of {epilogue.skip.tensor} ({epilogue.skip.kind})"] if epilogue.skip else []
    parts += [epilogue.activation] if epilogue.activation else []
    return f"{operation.name}: {', '.join(parts)}; {sizes}"


def _kernel_fields(conv: Conv) -> list[str]:
    fields = [f".kernel = {conv.kernel_size}", f".stride = {conv.stride}", f".dilation = {conv.dilation}"]
    return [*fields, f".before = {conv.dilation * (conv.kernel_size - 1) // 2}"]


def _pool_fields(one: IntegerOperation) -> list[str]:
    channels, height, width = one.operation.in_shape
    rows, columns = one.operation.window
    fields = [f".in_height = {height}", f".in_width = {width}", f".channels = {channels}"]
    fields += [f".rows = {rows}", f".columns = {columns}"]
    if one.pool is not None:
        multipliers = ", ".join(map(str, one.pool.tolist()))
        fields += [f".multipliers = {{{multipliers}}}", f".offset = {one.finish.offset[0]}"]
        fields += [f".gain = {one.finish.gain}", f".shift = {one.finish.shift}"]
    return fields


def _wrapped(text: str) -> str:
    """Break at spaces between the numbers of an array."""
    lines, line = [], ""
    for word in text.split(" "):
        if line and len(line) + 1 + len(word) > COLUMNS:
            lines.append(line)
            line = "   "
        line = f"{line} {word}" if line else word
    return "\n".join([*lines, line])


def _quoted(text: str) -> str:
    """Return a C string; what is not printable ASCII as octal escapes of its UTF-8 bytes."""
    letters = (
        chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\?' else f"\\{byte:03o}"
        for byte in text.encode("utf-8", "backslashreplace")
    )
    return f'"{"".join(letters)}"'

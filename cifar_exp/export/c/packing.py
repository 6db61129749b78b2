"""Weights and constants in the order in which the kernels read them."""

import numpy as np

from cifar_exp.export.c.integers import Finish, Integers
from cifar_exp.network.firmware.operations import padded


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

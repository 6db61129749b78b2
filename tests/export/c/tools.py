"""The cross compiler and the emulator, and a network small enough to write by hand."""

import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from cifar_exp.export.c.host import host_compiler
from cifar_exp.export.c.toolchain import install_note, missing_tools

REQUIRE = "CIFAR_EXP_REQUIRE_ARM"  # set where the absence of the tools is an error, as in .ci/run
needs_compiler = pytest.mark.skipif(host_compiler() is None and REQUIRE not in os.environ, reason="no C compiler")
LOOP_STEPS = 100_000  # of two instructions each

HEADER = """
#ifndef TINY_H
#define TINY_H
#include <stdint.h>
#define NETWORK_ARENA_BYTES 12
#define NETWORK_CLASSES 3
#define NETWORK_INPUT_BYTES 12
uint8_t *network_input(void *arena);
void network_run(void *arena, int32_t logits[NETWORK_CLASSES]);
int network_class(const int32_t logits[NETWORK_CLASSES]);
extern const char *const network_class_names[NETWORK_CLASSES];
extern const float network_logit_scale;
#endif
"""

SOURCE = """
#include "network.h"

const char *const network_class_names[NETWORK_CLASSES] = {"red", "green", "blue"};
const float network_logit_scale = 0.01f;

uint8_t *network_input(void *arena) { return arena; }

void network_run(void *arena, int32_t logits[NETWORK_CLASSES])
{
    const uint8_t *pixels = arena;
    for (int channel = 0; channel < NETWORK_CLASSES; channel++) {
        logits[channel] = -500;
        for (int pixel = 0; pixel < 4; pixel++)
            logits[channel] += pixels[3 * pixel + channel];
    }
#ifdef __arm__
    uint32_t steps = LOOP_STEPS;
    __asm__ volatile(".syntax unified\\n1: subs %0, %0, #1\\n bne 1b" : "+l"(steps) : : "cc");
#endif
}

int network_class(const int32_t logits[NETWORK_CLASSES])
{
    int best = 0;
    for (int i = 1; i < NETWORK_CLASSES; i++)
        if (logits[i] > logits[best])
            best = i;
    return best;
}
"""


def require_arm_tools() -> None:
    """Skip the test, or let it fail where the tools are required, if one is missing."""
    if missing_tools():
        (pytest.fail if os.environ.get(REQUIRE) else pytest.skip)(install_note())


def write_tiny_network(directory: Path, prefix: str = "network") -> None:
    """Write a network of 2×2×3 pixels whose logits are the channels' sums − 500; on Arm it also counts down a loop."""
    source = SOURCE.replace("LOOP_STEPS", str(LOOP_STEPS))
    for suffix, text in ((".h", HEADER), (".c", source)):
        text = text.replace("NETWORK_", f"{prefix.upper()}_").replace("network", prefix)
        (directory / f"{prefix}{suffix}").write_text(text)


def tiny_logits(images: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Return what the tiny network computes for images (N, 2, 2, 3)."""
    return images.astype(np.int32).sum(axis=(1, 2)) - 500


def tiny_images(count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, 2, 2, 3), dtype=np.uint8)

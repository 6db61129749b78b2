"""Networks for the tests of firmware, from the language, with weights and statistics that are hard to quantize."""

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cifar_exp.export.c.host import host_compiler
from cifar_exp.export.c.layout import FirmwareDir
from cifar_exp.inference.classifier import Classifier, TrainedNetwork
from cifar_exp.network import ModelSpec, build_network, plan_network

CLASSES = 5
SANITIZED = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined", "-fno-sanitize-recover")
RUNNER = """
#include <stdio.h>
#include <stdlib.h>
#include "network.h"
int main(void)
{
    void *arena = malloc(NETWORK_ARENA_BYTES); /* exactly: the sanitizer watches both ends */
    int32_t logits[NETWORK_CLASSES];
    while (fread(network_input(arena), 1, NETWORK_INPUT_BYTES, stdin) == NETWORK_INPUT_BYTES) {
        network_run(arena, logits);
        fwrite(logits, sizeof logits, 1, stdout);
    }
    free(arena);
    return 0;
}
"""


def trained(model: dict[str, Any], shape: tuple[int, int, int], seed: int = 0) -> TrainedNetwork:
    """A network with random weights, batch norms with negative and zero factors, and dead channels."""
    plan = plan_network(ModelSpec.model_validate(model), shape, CLASSES)
    torch.manual_seed(seed)
    network = build_network(plan)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.3, 2)
            nn.init.normal_(module.weight, 0.6, 0.6)
            nn.init.normal_(module.bias, 0, 0.3)
            module.weight.data[:: 1 + module.num_features // 2] = 0.0
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            nn.init.normal_(module.bias, 0, 0.2)
    mean = torch.linspace(100, 130, shape[0])
    classifier = Classifier(network, mean, mean / 2).eval()
    return TrainedNetwork(classifier, plan, [f'class "{number}" é' for number in range(CLASSES)])


def images(shape: tuple[int, int, int], count: int, seed: int = 0) -> torch.Tensor:
    """Random pixels with structure, uint8 (N, C, H, W)."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, shape[0], 3, 3, generator=generator)
    smooth = nn.functional.interpolate(coarse, shape[1:], mode="bilinear")
    noise = torch.rand(count, *shape, generator=generator)
    return ((0.7 * smooth + 0.3 * noise) * 255).to(torch.uint8)


def run_sanitized(firmware: FirmwareDir, pixels: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Logits of images uint8 (N, H, W, C) from a program that any bad access or overflow stops."""
    compiler = host_compiler()
    assert compiler is not None
    main = firmware.path / "run.c"
    main.write_text(RUNNER)
    program = Path(firmware.path / "run")
    subprocess.run([compiler, *SANITIZED, "-o", program, firmware.source, main], check=True)
    done = subprocess.run([program], input=np.ascontiguousarray(pixels).tobytes(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()[:3000]
    return np.frombuffer(done.stdout, np.int32).reshape(len(pixels), -1)

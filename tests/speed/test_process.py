"""What a process settles before it trains, and what it imports before it must."""

import os
import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
from cifar_exp.process import settle
if sys.argv[1] == "settled":
    settle()
import torch
def step():
    kept = [torch.ones(2_000_000) for _ in range(8)]
    return kept[0]
for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def output(code: str, *arguments: str, **variables: str) -> str:
    command, env = [sys.executable, "-c", code, *arguments], {**os.environ, **variables}
    return subprocess.run(command, check=True, capture_output=True, text=True, env=env).stdout.strip()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_memory_freed_by_a_step_is_there_for_the_next() -> None:
    fixed = {"MALLOC_MMAP_THRESHOLD_": "131072"}  # glibc's first threshold, which it may move as it likes otherwise
    assert int(output(FAULTS, "settled", **fixed)) < 20_000  # pages cleared anew in 10 steps of 64 MB
    assert int(output(FAULTS, "as it comes", **fixed)) > 100_000


def test_help_imports_neither_torch_nor_hydra() -> None:
    imported = "print(sorted({'torch', 'hydra'} & set(sys.modules)))"
    code = f"import sys; from cifar_exp.cli import run; run(['--help']); {imported}"
    assert output(code).endswith("[]")


def test_a_training_settles_its_process_before_torch_is_loaded() -> None:
    code = (
        "import sys; import cifar_exp.process as process\n"
        "def settle(): print('torch' in sys.modules); sys.exit()\n"
        "process.settle = settle\n"
        "from cifar_exp.cli import run; run(['train', 'data=synthetic', 'trainer.accelerator=cpu'])"
    )
    assert output(code) == "False"

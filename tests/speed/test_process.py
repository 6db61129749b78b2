"""What a process settles before it trains, and what it imports before it must."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from cifar_exp.process import cpu_quota, is_contended

FAULTS = """
import ctypes, resource, sys
from cifar_exp.process import configure_process
if sys.argv[1] == "settled":
    configure_process()
libc, size = ctypes.CDLL(None), 8_000_000
libc.malloc.restype = ctypes.c_void_p
def step():
    kept = [ctypes.c_void_p(libc.malloc(size)) for _ in range(8)]
    for memory in kept:
        libc.memset(memory, 1, size)
    for memory in kept:
        libc.free(memory)
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


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "400000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4.0),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({}, None),
    ],
    ids=["v2", "v2 without limit", "v1", "v1 without limit", "no control groups"],
)
def test_a_container_s_share_of_the_processor_is_known(
    files: dict[str, str], cores: float | None, tmp_path: Path
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert cpu_quota(tmp_path) == cores


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="control groups are Linux's")
@pytest.mark.parametrize(("own", "threads"), [({}, "1"), ({"OMP_NUM_THREADS": "7"}, "7")], ids=["unset", "set"])
def test_a_training_has_no_more_threads_than_its_container_may_use(own: dict[str, str], threads: str) -> None:
    code = (
        "import os; import cifar_exp.process as process\n"
        "process.cpu_quota = lambda: 0.5\n"
        "process.configure_process(); print(os.environ['OMP_NUM_THREADS'])"
    )
    inherited = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    ended = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=inherited | own
    )
    assert ended.stdout.strip() == threads


@pytest.mark.parametrize(
    ("text", "contended"),
    [
        (
            "some avg10=65.70 avg60=68.91 avg300=73.54 total=2633\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
            True,
        ),
        ("some avg10=0.12 avg60=68.91 avg300=73.54 total=2633\n", False),
        (None, False),
    ],
    ids=["others wait", "idle", "no such file"],
)
def test_threads_spin_less_where_processes_wait_for_a_core(text: str | None, contended: bool, tmp_path: Path) -> None:
    pressure = tmp_path / "cpu"
    if text is not None:
        pressure.write_text(text)
    assert is_contended(pressure) is contended
    code = (
        "import os, sys; import cifar_exp.process as process\n"
        "for name in ('GOMP_SPINCOUNT', 'OMP_WAIT_POLICY'): os.environ.pop(name, None)\n"  # an earlier test's
        "os.environ.update(one.split('=') for one in sys.argv[1:])\n"
        f"process.is_contended = lambda: {contended}\n"
        "process.configure_process(); print(os.environ.get('GOMP_SPINCOUNT'))"
    )
    assert output(code) == ("1000" if contended else "None")
    assert output(code, "GOMP_SPINCOUNT=7") == "7"
    assert output(code, "OMP_WAIT_POLICY=passive") == "None"


def test_help_imports_neither_torch_nor_hydra() -> None:
    imported = "print(sorted({'torch', 'hydra'} & set(sys.modules)))"
    code = f"import sys; from cifar_exp.cli import run; run(['--help']); {imported}"
    assert output(code).endswith("[]")


def test_a_training_configures_its_process_before_torch_is_loaded() -> None:
    code = (
        "import sys; import cifar_exp.process as process\n"
        "def configure_process(): print('torch' in sys.modules); sys.exit()\n"
        "process.configure_process = configure_process\n"
        "from cifar_exp.cli import run; run(['train', 'data=synthetic', 'trainer.accelerator=cpu'])"
    )
    assert output(code) == "False"

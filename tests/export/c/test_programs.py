"""The example programs: one for the PC, one for a device, as their Makefile builds them."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cifar_exp.export.c.layout import write_example_image, write_programs
from cifar_exp.export.c.toolchain import CPUS
from tests.export.c.tools import require_arm_tools, write_tiny_network


def exported(directory: Path, prefix: str, cpu: str = "cortex-m4") -> None:
    write_tiny_network(directory, prefix)
    write_programs(directory, cpu, prefix)
    green = np.full((2, 2, 3), (10, 90, 20), dtype=np.uint8)
    write_example_image(directory, green, "a green image")


def run(directory: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.skipif(shutil.which("cc") is None or shutil.which("make") is None, reason="no C compiler or make")
@pytest.mark.parametrize("prefix", ["network", "traffic_signs"])
def test_make_host_builds_a_program_that_classifies_a_ppm_image(prefix: str, tmp_path: Path) -> None:
    exported(tmp_path, prefix)
    built = run(tmp_path, "make", "host")
    assert built.returncode == 0, built.stderr
    found = run(tmp_path, "./classify", "example.ppm")
    assert found.stdout.splitlines()[0] == "green"
    assert found.stdout.splitlines()[2] == " 90.78 %  green"  # softmax of 0.01 × (40, 360, 80)

    Image.fromarray(np.full((2, 2, 3), (1, 2, 200), dtype=np.uint8)).save(tmp_path / "blue.ppm")
    assert run(tmp_path, "./classify", "blue.ppm").stdout.startswith("blue\n")
    commented = b"P6 # by hand\n2\n# two rows\n2 255\n" + bytes([200, 1, 2] * 4)
    (tmp_path / "red.ppm").write_bytes(commented)
    assert run(tmp_path, "./classify", "red.ppm").stdout.startswith("red\n")


@pytest.mark.skipif(shutil.which("cc") is None or shutil.which("make") is None, reason="no C compiler or make")
def test_what_is_no_image_of_the_networks_size_is_refused(tmp_path: Path) -> None:
    exported(tmp_path, "network")
    run(tmp_path, "make", "host")
    Image.fromarray(np.zeros((3, 3, 3), dtype=np.uint8)).save(tmp_path / "large.ppm")
    Image.fromarray(np.zeros((4, 1, 3), dtype=np.uint8)).save(tmp_path / "column.ppm")  # of as many pixels
    (tmp_path / "short.ppm").write_bytes((tmp_path / "example.ppm").read_bytes()[:-1])
    for name in ("large.ppm", "column.ppm", "short.ppm", "Makefile", "absent.ppm"):
        found = run(tmp_path, "./classify", name)
        assert found.returncode == 2
        assert f"{name}: expected a square binary PPM" in found.stderr
    assert "usage" in run(tmp_path, "./classify").stderr


@pytest.mark.parametrize("cpu", CPUS)
def test_make_arm_builds_a_program_that_prints_the_class_of_its_image(cpu: str, tmp_path: Path) -> None:
    require_arm_tools()
    exported(tmp_path, "traffic_signs", cpu)
    built = run(tmp_path, "make", "arm")
    assert built.returncode == 0, built.stderr
    assert (tmp_path / "firmware.elf").exists()
    found = run(tmp_path, "make", "-s", "emulate")
    assert "green" in (found.stdout + found.stderr).split()


def test_what_was_built_for_another_processor_is_built_again(tmp_path: Path) -> None:
    require_arm_tools()
    exported(tmp_path, "network", "cortex-m4")
    assert "-mcpu=cortex-m4" in run(tmp_path, "make", "arm").stdout
    assert "-mcpu=cortex-m0" in run(tmp_path, "make", "arm", "CPU=cortex-m0").stdout
    assert "up to date" in run(tmp_path, "make", "firmware.elf", "CPU=cortex-m0").stdout

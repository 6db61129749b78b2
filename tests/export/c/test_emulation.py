"""Programs on an emulated Cortex-M: logits, instruction counts, stack, flash and SRAM of a known network."""

import tempfile
from pathlib import Path

import numpy as np
import pytest

from cifar_exp.export.c.emulation import emulate
from cifar_exp.export.c.toolchain import CPUS, FirmwareError, find_toolchain, install_note
from tests.export.c.tools import LOOP_STEPS, require_arm_tools, tiny_images, tiny_logits, write_tiny_network


@pytest.mark.parametrize("cpu", CPUS)
def test_logits_are_those_of_the_network_and_a_loop_of_known_length_is_counted(cpu: str, tmp_path: Path) -> None:
    require_arm_tools()
    write_tiny_network(tmp_path)
    images = tiny_images(20)
    found = emulate(tmp_path, cpu, images)
    assert found.logits.dtype == np.int32
    assert np.array_equal(found.logits, tiny_logits(images))
    assert found.instructions_per_image == pytest.approx(2 * LOOP_STEPS, rel=1e-3)
    assert 500 < found.flash_bytes < 2000  # start-up, semihosting and network: nothing of a C library's printf
    assert 32 < found.stack_bytes < 256
    assert 12 < found.sram_bytes - found.stack_bytes < 64  # the arena and the counter of wraps


def test_images_are_divided_among_emulators_in_their_order(tmp_path: Path) -> None:
    require_arm_tools()
    write_tiny_network(tmp_path, prefix="traffic_signs")
    images = tiny_images(257)
    found = emulate(tmp_path, "cortex-m4", images, prefix="traffic_signs", optimise="-O2")
    assert np.array_equal(found.logits, tiny_logits(images))


def test_a_path_with_spaces_and_a_prefix_like_a_header_of_the_c_library_are_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_arm_tools()
    write_tiny_network(tmp_path, prefix="string")
    (tmp_path / "with spaces").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "with spaces"))
    images = tiny_images(1)
    assert np.array_equal(emulate(tmp_path, "cortex-m4", images, prefix="string").logits, tiny_logits(images))


def test_stack_is_the_high_water_mark_of_the_run(tmp_path: Path) -> None:
    require_arm_tools()
    write_tiny_network(tmp_path)
    plain = emulate(tmp_path, "cortex-m4", tiny_images(1))
    source = tmp_path / "network.c"
    deep = "    volatile uint8_t scratch[2000];\n    scratch[0] = scratch[1999] = 1;\n    const uint8_t *pixels"
    source.write_text(source.read_text().replace("    const uint8_t *pixels", deep, 1))
    assert emulate(tmp_path, "cortex-m4", tiny_images(1)).stack_bytes - plain.stack_bytes == pytest.approx(2000, abs=32)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("uint32_t steps", "*(volatile uint32_t *)0xF0000000u = 1;\n    uint32_t steps", "fault"),
        ("uint32_t steps", "uint32_t unused, steps", "unused"),
        ("NETWORK_INPUT_BYTES 12", "NETWORK_INPUT_BYTES 24", "NETWORK_INPUT_BYTES"),
        ("NETWORK_ARENA_BYTES 12", "NETWORK_ARENA_BYTES 5000000", "RAM"),
    ],
)
def test_a_program_that_fails_is_reported_with_the_reason(old: str, new: str, message: str, tmp_path: Path) -> None:
    require_arm_tools()
    write_tiny_network(tmp_path)
    for path in tmp_path.iterdir():
        path.write_text(path.read_text().replace(old, new))
    with pytest.raises(FirmwareError, match=message):
        emulate(tmp_path, "cortex-m4", tiny_images(1))


def test_versions_of_the_tools_are_named() -> None:
    require_arm_tools()
    assert "arm-none-eabi-gcc 1" in str(find_toolchain("cortex-m4"))
    assert "qemu-system-arm" in str(find_toolchain("cortex-m4"))
    assert find_toolchain("cortex-a9") is None


def test_missing_tools_are_named_with_the_command_that_installs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert find_toolchain("cortex-m4") is None
    assert "arm-none-eabi-gcc, qemu-system-arm not found" in install_note()
    assert "apt-get install make gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm" in install_note()

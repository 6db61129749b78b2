"""`cifar-exp export format=c`: what it writes, and what it refuses."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from cifar_exp.export.c import exporter, host, toolchain
from cifar_exp.export.c.host import host_compiler
from tests.conftest import Run
from tests.export.c.tools import needs_compiler


@pytest.fixture
def run(trained_run: Path, tmp_path: Path) -> Path:
    """A copy that may be written into."""
    return Path(shutil.copytree(trained_run, tmp_path / "copy"))


@needs_compiler
def test_the_firmware_is_described_by_its_measurements(
    cifar_exp: Run, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cifar_exp("export", f"run={run}", "format=c", "emulate=false", "prefix=pets") == 0
    printed = capsys.readouterr().out
    about = json.loads((run / "model_c" / "about.json").read_text())
    result = json.loads((run / "result.json").read_text())
    assert about["accuracy_float"] == pytest.approx(result["test/acc"])
    assert (about["params"], about["macs"]) == (result["params"], result["macs"])
    assert about["instructions"] is None
    assert about["arena_bytes"] < about["sram_bytes"]
    assert f"{about['accuracy_int8']:.2%}" in printed
    assert "bit for bit" in printed
    assert {path.name for path in (run / "model_c").iterdir()} >= {"pets.c", "pets.h", "main.c", "Makefile"}
    header = (run / "model_c" / "pets.h").read_text()
    assert f"#define PETS_ARENA_BYTES {about['arena_bytes']} " in header
    assert "int32_t logits[PETS_CLASSES]" in header


@needs_compiler
def test_the_example_classifies_its_image_on_the_pc(cifar_exp: Run, run: Path) -> None:
    cifar_exp("export", f"run={run}", "format=c", "emulate=false")
    directory = run / "model_c"
    command = [host_compiler(), "-std=c99", "-o", "classify", "main.c", "network.c", "-lm"]
    subprocess.run(command, cwd=directory, check=True)
    done = subprocess.run(["./classify", "example.ppm"], cwd=directory, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0] in {"class0", "class1", "class2", "class3"}


def test_a_directory_of_something_else_is_never_replaced(
    cifar_exp: Run, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    (tmp_path / "mine" / "about.json").write_text('{"name": "not of an export"}')
    assert cifar_exp("export", f"run={run}", "format=c", "emulate=false", f"output={tmp_path / 'mine'}") == 2
    assert "exists and is no earlier export" in capsys.readouterr().err
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep"


@needs_compiler
def test_an_earlier_export_is_replaced_behind_a_link_too(cifar_exp: Run, run: Path) -> None:
    link = run / "latest"
    link.symlink_to("model_c")
    for prefix in ("first", "second"):
        assert cifar_exp("export", f"run={run}", "format=c", "emulate=false", f"output={link}", f"prefix={prefix}") == 0
    assert link.is_symlink()
    assert {path.name for path in (run / "model_c").glob("*.c")} == {"second.c", "main.c"}


def test_a_compiler_that_fails_is_one_message(
    cifar_exp: Run, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(host, "host_compiler", lambda: "false")
    assert cifar_exp("export", f"run={run}", "format=c", "emulate=false") == 1
    assert "false cannot compile network.c" in capsys.readouterr().err
    assert not list(run.glob("*model_c*"))


@needs_compiler
def test_firmware_that_disagrees_with_its_simulation_is_not_kept(
    cifar_exp: Run, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    simulate = exporter.simulate
    monkeypatch.setattr(exporter, "simulate", lambda *arguments: simulate(*arguments) + 1)
    assert cifar_exp("export", f"run={run}", "format=c", "emulate=false") == 1
    assert "the integer simulation differs" in capsys.readouterr().err
    assert not (run / "model_c").exists()
    assert not list(run.glob(".model_c*"))


@pytest.mark.parametrize("value", ["cpu=cortex-m5", "prefix=9lives", "prefix=main"])
def test_what_the_command_does_not_know_is_a_user_error(cifar_exp: Run, run: Path, value: str) -> None:
    assert cifar_exp("export", f"run={run}", "format=c", value) == 2


@needs_compiler
def test_a_missing_cross_compiler_is_a_note_and_an_error_only_where_emulation_is_required(
    cifar_exp: Run, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(toolchain, "which", lambda tool: None)
    assert cifar_exp("export", f"run={run}", "format=c", "emulate=true") == 2
    assert not (run / "model_c").exists()
    capsys.readouterr()
    assert cifar_exp("export", f"run={run}", "format=c") == 0
    assert "apt-get install make gcc-arm-none-eabi" in capsys.readouterr().err
    about = json.loads((run / "model_c" / "about.json").read_text())
    assert (about["instructions"], about["toolchain"]) == (None, None)


def test_without_a_compiler_of_this_machine_nothing_is_written(
    cifar_exp: Run, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(host, "host_compiler", lambda: None)
    assert cifar_exp("export", f"run={run}", "format=c", "emulate=false") == 2
    assert "install gcc or clang" in capsys.readouterr().err
    assert not list(run.glob("*model_c*"))

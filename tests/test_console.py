"""Output whose reader leaves, and files that FORCE_COLOR gives colours to."""

import os
import re
from pathlib import Path

import pytest

from cifar_exp.console import Console
from tests.conftest import Run


def test_a_reader_that_leaves_ends_the_output_alone() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        console = Console(file=stream)
        console.print("nobody reads this")
        console.print("nor this")


def test_a_file_with_colours_is_no_screen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    with (tmp_path / "log").open("w") as stream:
        assert Console(file=stream).is_terminal
        assert not Console(file=stream).is_screen


def test_a_notebook_s_backend_is_not_asked_for_a_window(cifar_exp: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    assert cifar_exp("summary", "model=model2") == 0
    assert os.environ["MPLBACKEND"] == "agg"


def test_no_command_uses_rich_s_own_console_which_would_end_the_process() -> None:
    package = Path(__file__).parents[1] / "cifar_exp"
    texts = {file.name: file.read_text() for file in package.rglob("*.py")}
    assert [name for name, text in texts.items() if re.search(r"from rich.console import .*\bConsole\b", text)] == []

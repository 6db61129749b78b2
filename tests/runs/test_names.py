"""Names that files can have and texts cannot."""

import os
from pathlib import Path

import pytest

from cifar_exp.files import write_text
from cifar_exp.plots.figure import literal, new_figure, save
from cifar_exp.report.markdown import table
from cifar_exp.report.tables import Table

UNDECODABLE = os.fsdecode(b"caf\xe9")


@pytest.mark.parametrize("name", [UNDECODABLE, "$a$b_$", "猫", "a\\$"])
def test_a_name_can_be_drawn_without_a_warning(name: str, tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    figure = new_figure(3, 2)
    figure.subplots()
    figure.suptitle(literal(name))
    save(figure, tmp_path / "figure.png", dpi=50)
    assert (tmp_path / "figure.png").stat().st_size > 0
    assert not recwarn.list


def test_a_name_of_undecodable_bytes_can_be_written(tmp_path: Path) -> None:
    write_text(tmp_path / "a.md", UNDECODABLE)
    assert (tmp_path / "a.md").read_text() == "caf\\udce9"


def test_a_row_of_a_markdown_table_is_a_line() -> None:
    assert len(table(Table(["class", "accuracy"], [["a\nb|c", "1"]])).splitlines()) == 3

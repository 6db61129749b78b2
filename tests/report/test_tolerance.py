"""Names that look like markup, terminals that know few characters, and damaged files."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cifar_exp.cli.tables import figures_table, note, result_table, show
from cifar_exp.plots.chart import Axis, Chart, Matrix, Series
from cifar_exp.plots.curves import plot_curves
from cifar_exp.plots.interactive import figure_of
from tests.conftest import Run


def test_names_that_look_like_markup_are_shown_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    names = ["[cat] tabby", "q[/red]z", ":smile:"]
    rows = [[name, name] for name in names]
    show(figures_table("[title]", ["[bold]column", "b"], rows, 2), result_table("[/x]", [(names[1], names[0])]))
    printed = capsys.readouterr().out
    assert all(printed.count(name) >= 2 for name in names)
    assert all(title in printed for title in ("[title]", "[/x]", "[bold]column"))


def test_a_terminal_without_the_table_s_characters_gets_the_table() -> None:
    command = [sys.executable, "-c", "from cifar_exp.cli.entry import main; main()", "summary", "model=model2"]
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252"}
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "104,106" in done.stdout.decode("cp1252")


def test_a_narrow_terminal_breaks_no_message_and_no_table_of_a_file(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    path = "/data/" + "long/" * 20
    note(f"{path}: no such directory.")
    show(result_table("Result", [("curves", path)]))
    out, err = capsys.readouterr()
    assert err == f"{path}: no such directory.\n"
    assert path in out


def test_dollar_signs_in_a_name_are_no_formula(tmp_path: Path) -> None:
    row = {"epoch": 0, "train/acc": 0.5, "val/acc": 0.5, "train/loss": 1.0, "val/loss": 1.0}
    plot_curves(tmp_path / "curves.png", [row], "a$b_$", 0.5)
    assert (tmp_path / "curves.png").stat().st_size > 0


def test_plotly_shows_names_that_look_like_its_markup_as_they_are() -> None:
    name = "<b>a</b> %{y}"
    series = Series(name, [0.5], [name], "#000", mark="dots", names=[name], details=[f"{name}\n1"])
    trace = figure_of(Chart(Axis("x"), Axis("y", "name"), [series])).data[0]
    matrix = figure_of(Matrix("", [name], [[1]])).data[0]
    shown = "&lt;b&gt;a&lt;/b&gt; %&#123;y}"
    assert (trace.name, trace.y[0], trace.text[0], matrix.x[0]) == (shown,) * 4
    assert trace.customdata[0] == f"{shown}<br>1"


def test_every_damaged_file_is_named_in_one_user_error(
    trained_run: Path, cifar_exp: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage = {"one/test.json": '{"class_acc": [', "two/.hydra/config.yaml": "a: [", "three/test.json": "[]"}
    for file, text in damage.items():
        run = tmp_path / "runs" / Path(file).parts[0]
        shutil.copytree(trained_run, run)
        (tmp_path / "runs" / file).write_text(text)
    assert cifar_exp("report", f"runs={tmp_path / 'runs'}", f"output={tmp_path / 'report'}") == 2
    message = capsys.readouterr().err
    assert all(f"{tmp_path / 'runs' / file}: damaged" in message for file in damage)
    assert "Traceback" not in message
    assert not (tmp_path / "report").exists()

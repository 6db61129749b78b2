"""Names that look like markup, terminals that know few characters, and damaged files."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from cifar_exp.cli.tables import figures_table, note, result_table, show
from cifar_exp.plots import pictures
from cifar_exp.plots.chart import Axis, Chart, Matrix, Series
from cifar_exp.plots.curves import plot_curves
from cifar_exp.plots.interactive import figure_of
from cifar_exp.report.charts import cost
from cifar_exp.report.content import Content
from cifar_exp.report.runs import ReportedRun
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


def test_one_epoch_and_many_classes_have_one_tick_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"class{number}" for number in range(100)]
    epochs, classes = Series("a", [1], [0.5], "#000"), Series("b", [0.5] * 100, names, "#000", mark="dots")
    chart = Chart(Axis("epoch", "whole"), Axis("accuracy", "percent"), [epochs])
    by_class = Chart(Axis("accuracy", "percent"), Axis("", "name"), [classes])
    figures: list[Figure] = []
    monkeypatch.setattr(pictures, "save", lambda figure, *_: figures.append(figure))
    pictures.draw_charts(tmp_path / "a.png", [chart, by_class])
    first, second = figures[0].axes
    assert all(tick.is_integer() for tick in first.get_xticks())
    assert second.get_ylim() == pytest.approx((99.6, -0.6))
    assert figure_of(chart).layout.xaxis.dtick == 1
    assert figure_of(by_class).layout.yaxis.range == pytest.approx((99.6, -0.6))


def test_a_long_name_leaves_room_for_the_chart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = ReportedRun("name " * 60, tmp_path, {"params": 1, "val/acc": 0.5, "test/acc": 0.5}, [])
    (_, point) = cost(Content([run], {}), "params").series
    assert len(point.label) <= 48
    labels = [Series(f"{number} {'wide ' * 9}", [1, 2], [0, 1], "#000") for number in range(6)]
    figures: list[Figure] = []
    monkeypatch.setattr(pictures, "save", lambda figure, *_: figures.append(figure))
    pictures.draw_charts(tmp_path / "a.png", [Chart(Axis("x"), Axis("y"), labels)])
    figures[0].draw_without_rendering()
    assert figures[0].legends[0].get_window_extent().width < figures[0].bbox.width


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
    assert all(f"{tmp_path / 'runs' / file}: " in message for file in damage)
    assert "Traceback" not in message
    assert not (tmp_path / "report").exists()

"""`cifar-exp report`: what the two documents say of the runs."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cifar_exp.report.charts import front
from cifar_exp.report.content import collect
from cifar_exp.report.runs import ReportedRun, read_run
from tests.conftest import Run
from tests.report.conftest import Reported
from tests.training.tiny import result


@pytest.fixture
def copies(seeds: Path, tmp_path: Path) -> Path:
    """A copy of the two runs that may be written into."""
    return Path(shutil.copytree(seeds, tmp_path / "copies"))


class Page(HTMLParser):
    """The page's tables as rows of texts, and all addresses that a browser would load."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.loaded: list[str] = []
        self.options: list[str] = []
        self.headings: list[str] = []
        self._stack: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._stack.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        self.loaded += [value or "" for key, value in attrs if key in ("src", "href")]

    def handle_data(self, data: str) -> None:
        if "td" in self._stack[-2:] or "th" in self._stack[-2:]:
            self.rows[-1][-1] += data
        if self._stack and self._stack[-1] == "h2":
            self.headings.append(data)

    def handle_endtag(self, tag: str) -> None:
        while self._stack and self._stack.pop() != tag:
            pass


def edited(run: Path, **changes: Any) -> None:
    (run / "result.json").write_text(json.dumps({**result(run), **changes}))


def test_both_documents_have_every_run_s_figures(reported: Reported, seeds: Path) -> None:
    plan = read_run(seeds / "1").plan
    found = result(seeds / "1")
    figures = [
        *(f"{found[key]:.2%}" for key in ("train/acc", "val/acc", "test/acc")),
        f"{found['seconds_per_epoch']:.2f}",
        *(f"{found[key]:,}" for key in ("params", "macs", "peak_activation_bytes")),
        *(f"{getattr(plan, key):,}" for key in ("flash_bytes", "sram_bytes")),  # planned, not part of result.json
    ]
    assert max(map(len, reported.printed.splitlines())) <= 80
    markdown = (reported.directory / "report.md").read_text()
    row = next(line for line in markdown.splitlines() if line.startswith("| model2 seed=1"))
    assert [cell.strip(" *") for cell in row.split("|")[2:-2]] == figures
    page = Page((reported.directory / "report.html").read_text())
    assert next(row for row in page.rows if row[0] == "model2 seed=1")[1:-1] == figures


def test_every_picture_that_the_markdown_shows_is_beside_it(reported: Reported) -> None:
    names = re.findall(r"!\[[^]]+\]\(([^)]+)\)", (reported.directory / "report.md").read_text())
    assert names == ["curves.png", "cost.png", "classes.png", "confusion.png"]
    for name in names:
        with Image.open(reported.directory / name) as picture:
            assert picture.width > 500
    assert {path.name for path in reported.directory.iterdir()} == {"report.md", "report.html", *names}


def test_the_page_needs_nothing_from_outside_and_plotly_once(reported: Reported) -> None:
    html = (reported.directory / "report.html").read_text()
    assert all(address.startswith(("data:", "#")) for address in Page(html).loaded)
    assert "@import" not in html[: html.index("</style>")]
    assert html.count("plotly.js v") == 1
    assert len(html.encode()) < 6_000_000


def test_a_sweep_s_directory_stands_for_its_finished_trials(
    cifar_exp: Run, copies: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(copies / "0", copies / "2")
    edited(copies / "2", status="pruned")
    assert cifar_exp("report", f"runs={copies}", "output=out") == 0
    printed = capsys.readouterr()
    assert "1 not finished, left out" in printed.err
    assert f"{copies / '2'}: pruned" in printed.err
    assert "pruned" in Path("out/report.md").read_text()
    page = Page(Path("out/report.html").read_text())
    assert [row[0] for row in page.rows[1:3]] == ["model2 seed=0", "model2 seed=1"]


def test_unfinished_runs_alone_are_an_error_that_names_them(
    cifar_exp: Run, copies: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edited(copies / "0", status="failed")
    (copies / "1" / "result.json").unlink()
    assert cifar_exp("report", f"runs=[{copies}]") == 2
    said = capsys.readouterr().err
    assert f"{copies / '0'}: failed" in said
    assert f"{copies / '1'}: interrupted" in said
    assert not Path("report").exists()


def test_a_directory_without_runs_is_an_error(cifar_exp: Run, capsys: pytest.CaptureFixture[str]) -> None:
    Path("nothing").mkdir()
    assert cifar_exp("report", "runs=[nothing]") == 2
    assert "nothing: neither a run nor a directory of runs" in capsys.readouterr().err


def test_an_output_that_cannot_be_written_is_an_error(
    cifar_exp: Run, seeds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("taken").write_text("")
    assert cifar_exp("report", f"runs={seeds}", "output=taken") == 2
    assert "taken" in capsys.readouterr().err


def test_what_differs_between_the_runs_is_listed(reported: Reported) -> None:
    assert "## What differs" in (reported.directory / "report.md").read_text()
    rows = Page((reported.directory / "report.html").read_text()).rows
    start = rows.index(["run", "seed"])
    assert [row[1] for row in rows[start + 1 : start + 3]] == ["0", "1"]


def test_a_run_given_twice_counts_once(seeds: Path) -> None:
    assert len(collect([seeds, seeds / "0"]).runs) == 2


def test_labels_tell_runs_apart(seeds: Path, trained_run: Path, copies: Path) -> None:
    labels = [run.label for run in collect([seeds, trained_run, copies]).runs]
    assert len(set(labels)) == len(labels) == 5


def test_runs_of_older_versions_lack_what_they_do_not_know(cifar_exp: Run, copies: Path) -> None:
    for run in ("0", "1"):
        (copies / run / "test.json").unlink()
        shutil.rmtree(copies / run / ".hydra")
        edited(copies / run, device=None if run == "0" else "cpu")
    assert cifar_exp("report", f"runs=[{copies}]") == 0
    page = Page(Path("report/report.html").read_text())
    assert page.headings == ["Comparison", "Curves", "Accuracy against cost"]
    assert [row[1] for row in page.rows[1:3]] == ["–", "cpu"]


def test_many_runs_are_sorted_and_only_the_best_shown_in_detail(cifar_exp: Run, copies: Path) -> None:
    for number in range(2, 14):
        shutil.copytree(copies / "0", copies / str(number))
        edited(copies / str(number), **{"val/acc": number / 14})
    assert cifar_exp("report", f"runs=[{copies}]") == 0
    page = Page(Path("report/report.html").read_text())
    accuracies = [float(row[2].rstrip("%")) for row in page.rows[1:15]]
    assert accuracies == sorted(accuracies, reverse=True)
    assert "The 12 best by validation accuracy." in Path("report/report.html").read_text()


def test_names_cannot_break_out_of_the_page(cifar_exp: Run, copies: Path) -> None:
    config = copies / "0" / ".hydra" / "config.yaml"
    config.write_text(re.sub(r"(?m)^name: .*$", "name: '</script><b>|x [l](http://e)'", config.read_text()))
    assert cifar_exp("report", f"runs=[{copies}]") == 0
    html = Path("report/report.html").read_text()
    assert "</script><b>" not in html
    assert "&lt;/script&gt;&lt;b&gt;|x [l]" in html
    assert "| \\</script>\\<b>\\|x \\[l](http://e) |" in Path("report/report.md").read_text()


def test_links_to_a_directory_above_are_not_followed(copies: Path) -> None:
    for name in ("latest", "current", "previous"):
        (copies / name).symlink_to(copies)
    assert len(collect([copies]).runs) == 2


runs = st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), min_size=1, max_size=12)


@given(runs)
def test_nothing_beats_a_member_of_the_front_and_something_beats_all_others(pairs: list[tuple[int, int]]) -> None:
    every = [
        ReportedRun(str(number), Path(), {"params": cost, "val/acc": accuracy}, ())
        for number, (cost, accuracy) in enumerate(pairs)
    ]
    best = front(every, "params")
    for run in every:
        cost, accuracy = run.result["params"], run.result["val/acc"]
        as_good = [
            other
            for other in every
            if other is not run and other.result["params"] <= cost and other.result["val/acc"] >= accuracy
        ]
        better = [other for other in as_good if (other.result["params"], other.result["val/acc"]) != (cost, accuracy)]
        assert not (run in best and better)
        assert run in best or as_good

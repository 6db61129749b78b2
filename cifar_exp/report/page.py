"""The report as one HTML page that needs nothing from the network: styles, charts and plotly are in it."""

import json
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from string import Template

from cifar_exp import __version__
from cifar_exp.plots.interactive import figure_of
from cifar_exp.report import tables
from cifar_exp.report.charts import Variants, charts
from cifar_exp.report.content import RUNS_IN_DETAIL, Content
from cifar_exp.report.runs import ReportedRun
from cifar_exp.report.tables import Table


def page(content: Content) -> str:
    """Return the whole document."""
    from plotly.offline import get_plotlyjs

    drawn = charts(content)
    parts = files("cifar_exp.report")
    return Template((parts / "page.html").read_text(encoding="utf-8")).substitute(
        title=escape(f"cifar-exp: {content.title}"),
        heading=escape(content.title),
        style=(parts / "page.css").read_text(encoding="utf-8"),
        sections="\n".join(_sections(content, drawn)),
        version=__version__,
        figures=_embedded(drawn),
        plotly=get_plotlyjs().replace("</script", "<\\/script"),
        script=(parts / "page.js").read_text(encoding="utf-8"),
    )


def _embedded(drawn: dict[str, Variants]) -> str:
    """Return the charts as JSON that cannot end the script element that contains it."""
    plain = {
        name: {variant: json.loads(figure_of(one).to_json()) for variant, one in variants.items()}
        for name, variants in drawn.items()
    }
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _sections(content: Content, drawn: dict[str, Variants]) -> list[str]:
    detailed = f"The {RUNS_IN_DETAIL} best by validation accuracy. " if len(content.runs) > RUNS_IN_DETAIL else ""
    sections = [
        _section("Comparison", _table(tables.comparison(content.runs), "comparison") + _left_out(content)),
        _section("Curves", _chart("curves", drawn["curves"], "Solid: validation. Dotted: training.")),
        _section(
            "Accuracy against cost",
            _chart("costs", drawn["costs"], "Dashed: the Pareto front, where no run is better at the same cost."),
        ),
    ]
    differing = tables.overrides(content.runs)
    if differing:
        sections.append(_section("What differs", _table(differing)))
    if "classes" in drawn:
        sections.append(_section("Per-class accuracy", _chart("classes", drawn["classes"], f"{detailed}Test images.")))
        caption = f"{detailed}Test images by true and predicted class."
        sections.append(_section("Confusion", _chart("confusion", drawn["confusion"], caption)))
    networks = tables.networks(content.detailed)
    if networks:
        sections.append(_section("Networks", "\n".join(_network(runs, tables.layers(plan)) for plan, runs in networks)))
    return sections


def _section(heading: str, body: str) -> str:
    return f"<section><h2>{escape(heading)}</h2>\n{body}\n</section>"


def _chart(name: str, chart: Variants, caption: str) -> str:
    """Return a place for a chart, with a choice where it has several variants."""
    options = "".join(f'<option value="{escape(one)}">{escape(one)}</option>' for one in chart)
    choice = f'<select aria-label="{name}" data-for="{name}">{options}</select>' if len(chart) > 1 else ""
    heading = f"<figcaption>{choice}<span>{escape(caption)}</span></figcaption>"
    return f'<figure>{heading}<div class="chart" id="{name}" data-chart="{name}"></div></figure>'


def _table(table: Table, name: str = "") -> str:
    head = "".join(f"<th{_kind(table, column)}>{escape(title)}</th>" for column, title in enumerate(table.columns))
    rows = "\n".join(f"<tr>{_cells(table, position)}</tr>" for position in range(len(table.rows)))
    identity = f' id="{name}"' if name else ""
    return (
        f'<div class="scroll"><table{identity}><thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>'
    )


def _cells(table: Table, row: int) -> str:
    cells = []
    for column, text in enumerate(table.rows[row]):
        tag, mark = ("th", "span") if column == 0 else ("td", "strong" if (row, column) in table.best else "")
        shown = f"<{mark}>{escape(text)}</{mark}>" if mark else escape(text)
        cells.append(f"<{tag}{_kind(table, column)}>{shown}</{tag}>")
    return "".join(cells)


def _kind(table: Table, column: int) -> str:
    return "" if column < table.text_columns else ' class="figure"'


def _left_out(content: Content) -> str:
    if not content.left_out:
        return ""
    listed = "".join(f"<li>{escape(str(path))}: {escape(status)}</li>" for path, status in content.left_out.items())
    return f"<details><summary>{len(content.left_out)} not finished, left out</summary><ul>{listed}</ul></details>"


def _network(runs: Sequence[ReportedRun], table: Table) -> str:
    labels = ", ".join(run.label for run in runs)
    return f"<details><summary>{escape(labels)}</summary>{_table(table)}</details>"

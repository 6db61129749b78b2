"""The report as Markdown, with its pictures in PNG files beside it."""

from collections.abc import Mapping

from cifar_exp import __version__
from cifar_exp.report import tables
from cifar_exp.report.content import RUNS_IN_DETAIL, Content
from cifar_exp.report.tables import Table


def markdown(content: Content, pictures: Mapping[str, str]) -> str:
    """Return the document; `pictures` are file names with what they show."""
    parts = [f"# {_escaped(content.title)}", table(tables.comparison(content.runs)), _left_out(content)]
    differing = tables.overrides(content.runs)
    for name, title in pictures.items():
        parts += [f"## {title}", f"![{title}]({name})"]
        if name == "cost.png" and differing:
            parts += ["## What differs", table(differing)]
        if name == "classes.png" and (classes := tables.class_accuracy(content.detailed)):
            parts.append(table(classes))
    networks = tables.networks(content.detailed)
    if networks:
        parts.append("## Networks")
    if len(content.runs) > RUNS_IN_DETAIL:
        parts.append(f"Details are of the {RUNS_IN_DETAIL} best runs by validation accuracy.")
    for plan, runs in networks:
        labels = _escaped(", ".join(run.label for run in runs))
        parts.append(f"<details><summary>{labels}</summary>\n\n{table(tables.layers(plan))}\n\n</details>")
    parts.append(f"Written by cifar-exp {__version__}; `report.html` beside this file has interactive charts.")
    return "\n\n".join(part for part in parts if part) + "\n"


def table(content: Table) -> str:
    """Return a table in GitHub's Markdown."""
    rules = ["---" if column < content.text_columns else "---:" for column in range(len(content.columns))]
    rows = [
        [
            f"**{_escaped(text)}**" if (row, column) in content.best else _escaped(text)
            for column, text in enumerate(texts)
        ]
        for row, texts in enumerate(content.rows)
    ]
    lines = [[_escaped(title) for title in content.columns], rules, *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _left_out(content: Content) -> str:
    if not content.left_out:
        return ""
    listed = "\n".join(f"- {_escaped(str(path))}: {status}" for path, status in content.left_out.items())
    return f"{len(content.left_out)} not finished, left out:\n\n{listed}"


def _escaped(text: str) -> str:
    text = text.replace("\n", " ")
    for sign in "\\|<*`[$&":
        text = text.replace(sign, f"\\{sign}")
    return text

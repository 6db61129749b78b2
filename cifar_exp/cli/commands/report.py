"""`cifar-exp report`: compares finished runs, or the trials of a sweep, as Markdown and as one HTML page."""

from pathlib import Path

from rich.text import Text

from cifar_exp.cli.tables import figures_table, line, note, show
from cifar_exp.config.command_schema import ReportConfig
from cifar_exp.files import users_choice, write_text
from cifar_exp.report import tables
from cifar_exp.report.content import Content, collect, listed


def main(config: ReportConfig) -> None:
    """Write `report.md` with its pictures and `report.html`; print the comparison."""
    content = collect(Path(run) for run in config.runs)
    if content.left_out:
        note(f"{len(content.left_out)} not finished, left out:\n{listed(content.left_out)}")
    output = Path(config.output)
    with users_choice(output):
        write_report(output, content)
    show_comparison(content)
    line(f"{output / 'report.html'}\n{output / 'report.md'}")


def write_report(directory: Path, content: Content) -> None:
    """Write both documents and the pictures."""
    from cifar_exp.report.charts import draw_pictures
    from cifar_exp.report.markdown import markdown
    from cifar_exp.report.page import page

    pictures = draw_pictures(directory, content)
    write_text(directory / "report.md", markdown(content, pictures))
    write_text(directory / "report.html", page(content))


def show_comparison(content: Content) -> None:
    """Print the comparison table, the best of each column in bold."""
    table = tables.comparison(content.runs, tables.NARROW)
    rows = [
        [Text(text, style="bold" if (row, column) in table.best else "") for column, text in enumerate(texts)]
        for row, texts in enumerate(table.rows)
    ]
    show(figures_table("Comparison", table.columns, rows, table.text_columns))

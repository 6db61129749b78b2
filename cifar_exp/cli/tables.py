"""How results look on a terminal: one style of table for every command, plain where output is not a terminal."""

from collections.abc import Iterable, Sequence

from rich import box
from rich.table import Table

from cifar_exp.console import Console


def result_table(title: str, rows: Iterable[tuple[str, str]]) -> Table:
    """Names beside values."""
    table = Table(title=title, title_justify="left", show_header=False, box=box.SIMPLE_HEAD)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def figures_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], text_columns: int = 1) -> Table:
    """Columns of figures, aligned to the right after the first `text_columns`."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, collapse_padding=True)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index < text_columns else "right")
    for row in rows:
        table.add_row(*row)
    return table


def show(*tables: Table) -> None:
    """Prints to stdout, wide enough for paths where it is not a terminal."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=160)
    for table in tables:
        title, caption, table.title, table.caption = table.title, table.caption, None, None
        if title:  # a table would wrap it to its own width, and break paths
            console.print(title, style="table.title", highlight=False, soft_wrap=True)
        console.print(table)
        if caption:
            console.print(caption, style="table.caption", highlight=False, soft_wrap=True)


def note(text: str) -> None:
    """Prints a line to stderr, which leaves stdout to the results."""
    Console(stderr=True, soft_wrap=True).print(text, highlight=False, markup=False)


def bar(share: float, width: int = 24) -> str:
    """A share between 0 and 1 as a bar of eighths of characters."""
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    whole, rest = divmod(eighths, 8)
    return "█" * whole + ("▏▎▍▌▋▊▉"[rest - 1] if rest else "")

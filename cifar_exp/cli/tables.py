"""Results on a terminal: one style of table for every command, plain where output is not a terminal.

Every cell is shown as it is: a name may contain what rich would take for markup.
"""

from collections.abc import Iterable, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from cifar_exp.console import Console
from cifar_exp.runs.lock import status
from cifar_exp.runs.new_directory import near
from cifar_exp.runs.run import Run

Cell = str | Text  # a Text where it has a style


def result_table(title: str, rows: Iterable[tuple[str, str]]) -> Table:
    """Return a table of names beside values."""
    table = Table(title=title, title_justify="left", show_header=False, box=box.SIMPLE_HEAD)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for row in rows:
        table.add_row(*map(_as_it_is, row))
    return table


def figures_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Cell]], text_columns: int = 1) -> Table:
    """Return a table of figures, aligned to the right after the first `text_columns`."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, collapse_padding=True)
    for index, column in enumerate(columns):
        table.add_column(_as_it_is(column), justify="left" if index < text_columns else "right")
    for row in rows:
        table.add_row(*map(_as_it_is, row))
    return table


def show(*tables: Table) -> None:
    """Print to stdout, wide enough for paths where it is not a terminal."""
    console = Console()
    if not console.is_screen:
        console = Console(width=160)
    for table in tables:
        title, caption, table.title, table.caption = table.title, table.caption, None, None
        if title:  # a table would wrap it to its own width, and break paths
            console.print(title, style="table.title", highlight=False, soft_wrap=True, markup=False, emoji=False)
        console.print(table)
        if caption:
            console.print(caption, style="table.caption", highlight=False, soft_wrap=True, markup=False, emoji=False)


def line(text: str) -> None:
    """Print a line to stdout, as it is."""
    Console(soft_wrap=True).print(text, highlight=False, markup=False, emoji=False)


def note(text: str) -> None:
    """Print a line to stderr, which leaves stdout to the results."""
    Console(stderr=True, soft_wrap=True).print(text, highlight=False, markup=False, emoji=False)


def note_unfinished(run: Run) -> None:
    """Print to stderr that a run has not finished, if so: its weights are the best so far."""
    if run.config is None:
        return
    found = status(run.files)
    if found != "finished":
        note(f"{near(run.directory)}: not finished ({found}); these are its best weights so far.")


def bar(fraction: float, width: int = 24) -> Text:
    """Return a fraction between 0 and 1 as a bar of eighths of characters."""
    eighths = round(min(max(fraction, 0.0), 1.0) * width * 8)
    whole, rest = divmod(eighths, 8)
    return Text("█" * whole + ("▏▎▍▌▋▊▉"[rest - 1] if rest else ""), style="cyan")


def _as_it_is(cell: Cell) -> Text:
    return cell if isinstance(cell, Text) else Text(cell)

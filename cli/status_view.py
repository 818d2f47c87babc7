"""The status on the terminal: facts first, then what needs a person. Fits 80 columns."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.status import Status, in_words


def show(found: Status) -> None:
    """Print it; long sentences wrap inside their column."""
    console = Console(highlight=False)
    table = Table(show_header=False, width=min(console.width, 100))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold", ratio=1)
    for name, value in in_words(found):
        table.add_row(Text(name), Text(value))
    table.add_section()
    if not found.problems:
        table.add_row(Text("problems"), Text("none", style="green"))
    for number, problem in enumerate(found.problems):
        table.add_row(Text("problems" if number == 0 else ""), Text(problem, style="red"))
    console.print(table)

"""The coverage map on the terminal: a line per symbol and year, a cell per month. Fits 80 columns."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from rich.console import Console
from rich.table import Table
from rich.text import Text

from eightbells.candles.coverage import Month


def show(found: Sequence[Month]) -> None:
    """Print which percentage of each month's slots is stored, rounded down, and the sums."""
    console = Console(highlight=False)
    if not found:
        console.print("no candle is stored")
        return
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for name in ("symbol", "year", *(f"{month:02}" for month in range(1, 13)), "missing"):
        table.add_column(name, no_wrap=True, justify="left" if name == "symbol" else "right")
    for (symbol, year), months in groupby(found, lambda it: (it.symbol, it.month.year)):
        known = {it.month.month: it for it in months}
        missing = sum(it.slots - it.stored for it in known.values())
        cells = [_cell(known.get(month)) for month in range(1, 13)]
        table.add_row(Text(symbol), Text(str(year)), *cells, Text(str(missing or "")))
    console.print(table)
    sums = {
        name: sum(getattr(it, name) for it in found) for name in ("stored", "quarantined", "open", "absent")
    }
    counts = ", ".join(f"{count} {name}" for name, count in sums.items())
    console.print(f"{sum(sums.values())} slots: {counts}")
    console.print("percent stored; green: all, yellow: the rest is absent, red: some is open or quarantined")


def _cell(month: Month | None) -> Text:
    if month is None:
        return Text("")
    colour = "red" if month.open or month.quarantined else "yellow" if month.absent else "green"
    return Text(str(100 * month.stored // month.slots), style=colour)

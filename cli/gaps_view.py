"""Missing slots on the terminal, one line per stretch of them. Fits 80 columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from eightbells.candles.gaps import Gap, Stretch, stretches
from eightbells.candles.timeframe import Timeframe

_COLOURS = {"open": "red", "absent": "yellow", "repaired": "green"}


def show(found: Sequence[Gap], timeframe: Timeframe) -> None:
    """Print them, and how many there are in each state."""
    console = Console(highlight=False)
    if not found:
        console.print("no slot without a candle is recorded")
        return
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for name in ("symbol", "first slot, UTC", "slots", "state", "asked", "found", "settled"):
        table.add_column(name, no_wrap=True, justify="right" if name in ("slots", "asked") else "left")
    for stretch in stretches(found, timeframe):
        table.add_row(*_cells(stretch))
    console.print(table)
    counts = Counter(gap.state for gap in found)
    console.print(", ".join(f"{counts[state]} {state}" for state in _COLOURS if counts[state]))


def _cells(stretch: Stretch) -> list[Text]:
    first, (least, most) = stretch.first, stretch.asked
    return [
        Text(first.symbol),
        Text(f"{first.open_time:%Y-%m-%d %H:%M}"),
        Text(str(stretch.slots)),
        Text(first.state, style=_COLOURS[first.state]),
        Text(str(least) if least == most else f"{least}-{most}"),
        Text(f"{stretch.found_at:%Y-%m-%d}"),
        Text(f"{stretch.settled_at:%Y-%m-%d}" if stretch.settled_at else ""),
    ]

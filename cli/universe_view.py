"""The universe by rule on the terminal. Fits 80 columns."""

from __future__ import annotations

from collections import Counter

from rich.console import Console
from rich.table import Table
from rich.text import Text

from eightbells.universe.standing import Standing


def show(found: Standing) -> None:
    """Print the members, who left, and how many symbols were left out for which reason."""
    console = Console(highlight=False)
    if found.chosen_at is None:
        console.print(
            "nobody has been chosen by this rule at that time: the next cycle chooses, or a backtest"
        )
        return
    maker = "the cycle" if found.made_by == "cycle" else "a backtest"
    console.print(
        f"{len(found.members)} members, {found.wanted} are asked for; chosen by {maker} at {found.chosen_at} UTC"
    )
    _print(
        console,
        ("member", "since, UTC", "why"),
        [(it.symbol, it.joined_at, it.why_joined) for it in found.members],
    )
    _print(
        console,
        ("left", "at, UTC", "why"),
        [(it.symbol, str(it.left_at), str(it.why_left)) for it in found.left],
    )
    for reason, symbols in _by_kind(found.left_out).items():
        console.print(f"left out, {reason}: {symbols}", soft_wrap=True)


def _print(console: Console, names: tuple[str, str, str], rows: list[tuple[str, str, str]]) -> None:
    if not rows:
        return
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for name in names:
        table.add_column(name, no_wrap=name != "why", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)


_KINDS = {
    "too young": "days old",
    "without candles": "candle",
    "about to be delisted": "stops trading",
    "leveraged": "leveraged token",
    "excluded": "universe.exclude",
}


def _by_kind(left_out: dict[str, str]) -> dict[str, int]:
    """How many symbols were left out for which kind of reason; `--json` names each."""
    kinds = (next((kind for kind, words in _KINDS.items() if words in why), why) for why in left_out.values())
    return dict(Counter(kinds).most_common())

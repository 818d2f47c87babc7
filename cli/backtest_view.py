"""A backtest on the terminal. Fits 80 columns."""

from __future__ import annotations

from decimal import Decimal

from rich.console import Console
from rich.table import Table

from cli.words import money
from eightbells.backtest.result import Result
from eightbells.backtest.statistics import by_place, figures
from eightbells.backtest.sweep import Sweep
from eightbells.backtest.walk_forward import WalkForward
from eightbells.backtest.words import ratio, refusals, rows, share

_MOST_VARIANTS = 20


def show(result: Result) -> None:
    """Print the figures, then by strategy and symbol, then what was refused."""
    console, found, asset = Console(highlight=False), figures(result), result.asset
    for name, value in rows(found, asset):
        console.print(f"{name:24} {value}", soft_wrap=True)
    console.print()
    table = Table(box=None, pad_edge=False, show_edge=False)
    for head in ("strategy", "symbol"):
        table.add_column(head)
    for head in (f"profit in {asset}", "trades", "won", "stops", "fees"):
        table.add_column(head, justify="right")
    for it in by_place(result):
        table.add_row(
            it["strategy"],
            it["symbol"],
            _money(it["profit"]),
            str(it["trades"]),
            share(it["win_rate"]),
            str(it["stops"]),
            _money(it["fees"]),
        )
    console.print(table)
    _show_refused(console, result)
    for note in result.notes:
        console.print(note)


def show_sweep(found: Sweep, names: list[str]) -> None:
    """Print the best variants, and what the best is worth given how many were tried."""
    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False, show_edge=False)
    for head in (*names, "return", "Sharpe", "drawdown", "trades"):
        table.add_column(head, justify="right")
    for it in found.variants[:_MOST_VARIANTS]:
        table.add_row(
            *(str(it.parameters[name]) for name in names),
            share(it.figures.total_return),
            ratio(it.figures.sharpe),
            share(it.figures.max_drawdown),
            str(it.figures.trades),
        )
    console.print(table)
    left_out = len(found.variants) - _MOST_VARIANTS
    if left_out > 0:
        console.print(f"and {left_out} more: --json lists them all")
    console.print(f"\n{len(found.variants)} variants tried", soft_wrap=True)
    if found.refused:
        console.print(f"{len(found.refused)} that the strategy does not take, such as: {found.refused[0][1]}")
    chance = "cannot be told" if found.deflated is None else f"{found.deflated:.1%}"
    console.print(f"probability that the best has merit (deflated Sharpe ratio): {chance}")
    best = found.variants[0].p_value
    told = "cannot be told, it has no trades" if best is None else f"{best:.4f}"
    console.print(f"p-value of the best against random entries, not deflated: {told}")
    for note in found.variants[0].notes:
        console.print(note)


def show_walk_forward(found: WalkForward, names: list[str]) -> None:
    """Print a row per step, and what all test days have brought together."""
    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False, show_edge=False)
    table.add_column("traded from", justify="left")
    for head in (*names, "Sharpe before", "return", "Sharpe", "drawdown", "trades"):
        table.add_column(head, justify="right")
    for it in found.folds:
        table.add_row(
            it.tested.start[:10],
            *(str(it.parameters[name]) for name in names),
            ratio(it.trained.sharpe),
            share(it.tested.total_return),
            ratio(it.tested.sharpe),
            share(it.tested.max_drawdown),
            str(it.tested.trades),
        )
    console.print(table)
    console.print(
        f"\n{len(found.folds)} steps, {found.tried} parameters tried in each; all test days: return "
        f"{share(found.total_return)}, Sharpe {ratio(found.sharpe)}, drawdown {share(found.max_drawdown)}",
        soft_wrap=True,
    )
    for note in found.notes:
        console.print(note)


def _show_refused(console: Console, result: Result) -> None:
    lines, more = refusals(result)
    if lines:
        console.print("\nnot traded", highlight=False)
    for line in lines:
        console.print(f"  {line}", markup=False)
    if more:
        console.print(f"  and {more} more reasons: --json lists them all")


def _money(value: float) -> str:
    return money(Decimal(str(round(value, 8))))

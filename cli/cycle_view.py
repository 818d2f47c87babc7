"""A cycle on the terminal: a line for each order and each refusal, and why nothing was ordered. Fits 80 columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from cli.words import money
from eightbells.exchange.rules import wire
from eightbells.strategies.decision import Failed, Refused
from eightbells.trading.outbox import Order

if TYPE_CHECKING:
    from tasks.trading import CycleReport

_MOST_LINES = 20


def facts(report: CycleReport) -> dict[str, Any]:
    """The cycle as one JSON object."""
    return {
        "candle": report.candle,
        "outcome": report.outcome,
        "inserted": report.ingested.inserted,
        "quarantined": report.ingested.quarantined,
        "signals": len(report.evaluated.decisions),
        "orders": len(report.orders),
        "equity": str(report.equity),
        "problems": report.problems,
        "refused": [list(row) for row in report.refused],
        "universe": [list(row) for row in report.universe],
        "placed": [_facts_of(report, order) for order in report.orders],
        "idle": report.idle.code if report.idle else None,
        "idle_reason": report.idle.words if report.idle else None,
    }


def _facts_of(report: CycleReport, order: Order) -> dict[str, Any]:
    return {
        "id": order.client_order_id,
        "strategy": order.strategy,
        "symbol": order.symbol,
        "side": order.side,
        "type": order.type,
        "quantity": wire(order.quantity),
        "price": None if order.price is None else wire(order.price),
        "stop_price": None if order.stop_price is None else wire(order.stop_price),
        "state": order.state,
        "executed": wire(order.executed_quantity),
        "reason": report.reasons.get(order.id),
        "by_this_run": order.id in report.placed,
    }


def show(report: CycleReport) -> None:
    """Print it; long sentences wrap under their own beginning."""
    console = Console(highlight=False)
    ingested = report.ingested
    console.print(
        Text(
            f"candle {report.candle} UTC: {report.outcome}", "bold" if report.outcome == "complete" else "red"
        )
    )
    _line(
        console,
        f"{ingested.checked} candles checked, {ingested.inserted} new, {ingested.quarantined} quarantined; "
        f"{len(report.evaluated.decisions)} signals",
    )
    for line in _cut([f"{symbol} {what} the universe: {why}" for symbol, what, why in report.universe]):
        _line(console, line)
    for line in _cut(list(_orders(report))):
        _line(console, line)
    for line in _cut([_refusal(it) for it in report.evaluated.refused if not isinstance(it, Failed)]):
        _line(console, line)
    if report.idle:
        _line(console, f"nothing ordered: {report.idle.words}")
    for problem in report.problems:
        _line(console, f"problem: {problem}", "red")
    _line(console, f"equity {money(report.equity, report.asset)}")


def _orders(report: CycleReport) -> Iterator[str]:
    for order in report.orders:
        done = report.idle is not None and report.idle.code == "done"
        earlier = "" if done or order.id in report.placed else " (earlier run)"
        reason = report.reasons.get(order.id)
        yield f"{order_words(order)} {order.client_order_id}{earlier}" + (f": {reason}" if reason else "")


def order_words(order: Order) -> str:
    """Symbol, side, quantity, price and state: `BTCUSDT BUY 0.1 at 64000 FILLED`."""
    price = "market" if order.price is None else wire(order.price)
    stop = "" if order.stop_price is None else f", stop {wire(order.stop_price)}"
    part = f" {wire(order.executed_quantity)} filled" if 0 < order.executed_quantity < order.quantity else ""
    return f"{order.symbol} {order.side} {wire(order.quantity)} at {price}{stop} {order.state}{part}"


def _refusal(refused: Refused) -> str:
    strategy = f" for {refused.strategy}" if refused.strategy else ""
    return f"{refused.symbol} not traded{strategy}: {refused.reason}"


def _cut(lines: list[str]) -> list[str]:
    more = len(lines) - _MOST_LINES
    return lines if more <= 0 else [*lines[:_MOST_LINES], f"and {more} more: see the run in the Prefect UI"]


def _line(console: Console, words: str, style: str | None = None) -> None:
    """One line, indented by two; where it is too long the rest is indented by four."""
    first, *rest = Text(words).wrap(console, console.width - 4)
    for margin, line in [("  ", first), *(("    ", line) for line in rest)]:
        console.print(margin + line.plain.rstrip(), style=style, markup=False)

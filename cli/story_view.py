"""An order's history on the terminal: its decision, then its events. Fits 80 columns."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from eightbells.exchange.rules import wire
from eightbells.trading.story import Story


def show(story: Story) -> None:
    """Print the story, from the candles to the fills."""
    console, order = Console(highlight=False), story.order
    price = "at market" if order["price"] is None else f"at {_plain(order['price'])}"
    stop = f", triggered at {_plain(order['stop_price'])}" if order["stop_price"] else ""
    console.print(f"[bold]{order['side']} {_plain(order['quantity'])} {order['symbol']} {price}{stop}[/]")
    _facts(
        console,
        {
            "order": order["client_order_id"],
            "at the exchange": order["exchange_order_id"] or "not known there",
            "state": f"{order['state']}, {_plain(order['executed_quantity'])} executed",
            "leg": f"{order['leg']}, attempt {order['attempt']}",
            "account": order["account"],
        },
    )
    console.print("\n[bold]Why[/]")
    by_hand = {"by hand": f"{order['by_whom']}: {order['why']}"} if order["by_whom"] else {}
    _facts(
        console,
        {
            **by_hand,
            "strategy": f"{order['strategy']} version {order['strategy_version']} {order['parameters']}",
            "wanted": f"{order['target']}: {order['reason']}",
            **_levels(order),
            "candle": f"{_time(order['open_time'])}, closed at {_plain(order['close'])}",
            "evaluated": f"{_time(order['evaluated_at'])} by run {order['evaluated_by']}, "
            f"as number {order['evaluation']}",
            "code": order["code_version"],
            "inputs": f"{order['window_candles']} candles from {_time(order['window_start'])}, as of batch "
            f"{order['as_of_batch']}",
            "their hash": order["inputs_hash"][:32],
            "validation": f"{order['validation']} of {order['suite']}: {order['checked']} checked, {order['failed']} "
            f"failed, batch {order['batch']} from {order['source']} at {_time(order['known_at'])}",
        },
    )
    _table(
        console,
        "The newest candles that the strategy saw",
        story.candles,
        ("open_time", "open", "high", "low", "close"),
    )
    events = [
        {
            "at": event["at"],
            "from": event["from_state"] or "",
            "to": event["to_state"],
            "detail": _detail(event["detail"]),
        }
        for event in story.events
    ]
    _table(console, "What happened to the order", events, ("at", "from", "to", "detail"))
    fills = [
        {**fill, "fee": f"{_plain(fill['commission'])} {fill['commission_asset']}"} for fill in story.fills
    ]
    _table(console, "Fills", fills, ("trade_id", "price", "quantity", "fee", "traded_at"))
    if story.other_attempts:
        _table(console, "Other attempts at this decision", story.other_attempts, ("client_order_id", "state"))


def _levels(order: dict[str, Any]) -> dict[str, str]:
    """The prices and the share of the capital that the strategy set, if it did."""
    names = {"stop": "wanted_stop", "take profit": "take_profit", "weight": "weight"}
    given = [f"{name} {_plain(order[key])}" for name, key in names.items() if order[key] is not None]
    return {"with": ", ".join(given)} if given else {}


def _facts(console: Console, facts: dict[str, Any]) -> None:
    table = Table.grid(padding=(0, 1))
    table.add_column(width=18, no_wrap=True)
    table.add_column(overflow="fold", ratio=1)
    for name, value in facts.items():
        table.add_row(Text(f"  {name}"), Text(str(value)))
    console.print(table)


def _table(console: Console, title: str, rows: list[dict[str, Any]], columns: tuple[str, ...]) -> None:
    console.print()
    if not rows:
        console.print(f"[bold]{title}[/]: none")
        return
    table = Table(title=title, title_justify="left")
    for name in columns:
        table.add_column(name.replace("_", " ") + ", UTC" * (name in ("at", "open_time", "traded_at")))
    for row in rows:
        table.add_row(*(_cell(row[name]) for name in columns))
    console.print(table)


def _cell(value: Any) -> str:
    if isinstance(value, Decimal):
        return _plain(value)
    return f"{value:%Y-%m-%d %H:%M:%S}" if isinstance(value, datetime) else str(value)


def _detail(detail: dict[str, Any]) -> str:
    """Reasons as they stand, figures with their name: `status NEW, executed 0`."""
    named = (str(it) if name in ("reason", "sizing") else f"{name} {it}" for name, it in detail.items())
    return ", ".join(named)


def _plain(value: Decimal) -> str:
    return wire(value)


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"

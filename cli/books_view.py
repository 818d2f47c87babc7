"""Positions, orders and fills on the terminal, and as CSV. Fits 80 columns."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Sequence
from dataclasses import fields
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.answers import plain
from cli.words import money
from eightbells.exchange.rules import wire

if TYPE_CHECKING:
    from eightbells.trading.listing import ListedOrder, ListedPosition, Trade


def show_positions(rows: Sequence[ListedPosition], asset: str) -> None:
    """Print a block of lines for each position, and what all are worth."""
    if not rows:
        Console().print("nothing is held")
        return
    table = _table("position", "quantity", f"value in {asset}", "profit", "stop")
    for it in rows:
        cost = "" if it.average_cost is None else f"\nat {money(it.average_cost)}"
        profit = _profit(it.unrealised, it.realised, it.fees)
        if it.unvalued_fees:
            profit += f"\nand unvalued fees of {it.unvalued_fees}"
        gone = "" if it.in_settings else "\nnot in the settings"
        stop = it.unprotected if it.stop_price is None else wire(it.stop_price)
        table.add_row(
            f"{it.symbol}\n{it.strategy}{gone}", f"{wire(it.quantity)}{cost}", money(it.value), profit, stop
        )
    sums = (
        _total(it.unrealised for it in rows),
        _total(it.realised for it in rows),
        _total(it.fees for it in rows),
    )
    table.add_row("all", "", money(_total(it.value for it in rows)), _profit(*sums), "")
    Console(highlight=False).print(table)


def show_orders(rows: Sequence[ListedOrder]) -> None:
    """Print each order with its time, its symbol, and what was asked for."""
    if not rows:
        Console().print("there is no such order")
        return
    table = _table("planned, UTC", "symbol", "order")
    for it in rows:
        price = it.price if it.stop_price is None else it.stop_price
        asked = "" if price is None else f" at {wire(price)}"
        filled = f", {wire(it.executed_quantity)} filled" if 0 < it.executed_quantity < it.quantity else ""
        words = f"{it.side} {wire(it.quantity)} {it.type}{asked}: {it.state}{filled}"
        table.add_row(
            f"{it.planned_at:%Y-%m-%d %H:%M}",
            it.symbol,
            f"{words}\n{it.leg} of {it.strategy}\n{it.client_order_id}",
        )
    Console(highlight=False).print(table)


def show_trades(rows: Sequence[Trade]) -> None:
    """Print each fill with its time, its symbol, its amounts and its fee."""
    if not rows:
        Console().print("there is no such trade")
        return
    table = _table("traded, UTC", "symbol", "trade")
    for it in rows:
        fee = f"fee {wire(it.commission)} {it.commission_asset}"
        words = f"{it.side} {wire(it.quantity)} at {wire(it.price)} = {money(it.quote_quantity)}, {fee}"
        table.add_row(
            f"{it.traded_at:%Y-%m-%d %H:%M}",
            it.symbol,
            f"{words}\n{it.leg} of {it.strategy}, trade {it.trade_id}\n{it.client_order_id}",
        )
    Console(highlight=False).print(table)


def as_csv(rows: Sequence[Any], kind: type) -> None:
    """Print rows of a dataclass as CSV, below a line of its fields' names."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    names = [field.name for field in fields(kind)]
    writer.writerow(names)
    for row in rows:
        values = (getattr(row, name) for name in names)
        writer.writerow("" if value is None else plain(value) for value in values)


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for name in columns:
        narrow = name.endswith("UTC") or name == "symbol"
        table.add_column(Text(name), no_wrap=narrow, overflow="fold")
    return table


def _profit(unrealised: Decimal, realised: Decimal, fees: Decimal) -> str:
    less = f"\nfees {money(fees)}" if fees else ""
    return f"{_signed(unrealised)}\nrealised {_signed(realised)}{less}"


def _signed(amount: Decimal) -> str:
    return f"{amount:+,.2f}"


def _total(amounts: Iterable[Decimal]) -> Decimal:
    return sum(amounts, Decimal(0))

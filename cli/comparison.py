"""Orders, fills and balances of the simulator compared with the books, one by one."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Engine, text

from eightbells.exchange.json_fields import each
from eightbells.exchange.models import ListedOrder
from eightbells.trading.states import of_exchange


def compare(truth: dict[str, Any], engine: Engine) -> tuple[list[str], int]:
    """What differs, in words, and how many orders the exchange has.

    Args:
        truth: the simulator's own account of orders, fills and balances.
    """
    with engine.connect() as connection:
        differences = [
            *_orders(each(ListedOrder.read)(truth["orders"]), connection),
            *_fills(truth["fills"], connection),
            *_balances(truth, connection),
        ]
    return differences, len(truth["orders"])


def _orders(theirs: list[ListedOrder], connection: Connection) -> list[str]:
    rows = connection.execute(
        text(
            "SELECT client_order_id, symbol, side, type, state, quantity, price, executed_quantity FROM orders "
            "WHERE state NOT IN ('DENIED', 'REJECTED', 'ABSENT')"
        )
    )
    ours = {row.client_order_id: row for row in rows}
    at_exchange: dict[str, list[ListedOrder]] = {}
    for order in theirs:
        at_exchange.setdefault(order.client_order_id, []).append(order)
    found = [
        f"order {name} is at the exchange {len(many)} times"
        for name, many in at_exchange.items()
        if len(many) > 1
    ]
    found += [f"order {name} is at the exchange only" for name in at_exchange.keys() - ours.keys()]
    found += [f"order {name} is in the books only" for name in ours.keys() - at_exchange.keys()]
    for name in ours.keys() & at_exchange.keys():
        book, order = ours[name], at_exchange[name][0]
        pairs = (
            ("symbol", book.symbol, order.symbol),
            ("side", book.side, order.side),
            ("type", book.type, order.type),
            ("state", book.state, of_exchange(order.status)),
            ("quantity", book.quantity, order.quantity),
            ("price", book.price or Decimal(0), order.price),
            ("executed quantity", book.executed_quantity, order.executed_quantity),
        )
        found += [
            f"order {name}: {what} {mine} here, {its} there" for what, mine, its in pairs if mine != its
        ]
    return found


def _fills(theirs: list[dict[str, Any]], connection: Connection) -> list[str]:
    rows = connection.execute(
        text(
            "SELECT f.symbol, f.trade_id, o.client_order_id, f.side, f.price, f.quantity, f.commission, "
            "f.commission_asset FROM fills AS f INNER JOIN orders AS o ON f.order_id = o.id"
        )
    )
    ours = {tuple(row) for row in rows}
    truth = {
        (
            fill["symbol"],
            int(fill["tradeId"]),
            fill["clientOrderId"],
            fill["side"],
            Decimal(fill["price"]),
            Decimal(fill["qty"]),
            Decimal(fill["commission"]),
            fill["commissionAsset"],
        )
        for fill in theirs
    }
    return [
        *(f"fill {fill[0]} {fill[1]} is in the books only, or differs" for fill in ours - truth),
        *(f"fill {fill[0]} {fill[1]} is at the exchange only, or differs" for fill in truth - ours),
    ]


def _balances(truth: dict[str, Any], connection: Connection) -> list[str]:
    """What the positions say we own of each base asset against what the account holds."""
    rows = connection.execute(
        text(
            "SELECT s.base_asset, sum(p.quantity) AS quantity FROM positions AS p "
            "INNER JOIN symbols AS s ON p.symbol = s.symbol GROUP BY s.base_asset"
        )
    )
    ours: dict[str, Decimal] = {row.base_asset: row.quantity for row in rows}
    (held,) = truth["balances"].values()
    found = []
    for asset, quantity in ours.items():
        balance = held.get(asset, {"free": "0", "locked": "0"})
        there = Decimal(balance["free"]) + Decimal(balance["locked"])
        if there != quantity:
            found.append(f"balance of {asset}: {quantity} here, {there} there")
    return found

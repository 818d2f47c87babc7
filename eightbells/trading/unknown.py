"""Unknown orders: sent, and neither confirmed nor rejected in the books."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import Connection, text

from eightbells.trading.states import IN_FLIGHT, State


class UnknownOrder(NamedTuple):
    """An order whose fate is not known, and since when by the database's clock."""

    client_order_id: str
    side: str
    symbol: str
    quantity: Decimal
    state: State
    age: timedelta


def unknown_orders(connection: Connection, account: str) -> list[UnknownOrder]:
    """The account's unknown orders, oldest first.

    An order that the exchange knows, under a status that is not known here, is a drift instead.
    """
    rows = connection.execute(
        text(
            "SELECT o.client_order_id, o.side, o.symbol, o.quantity, o.state, "
            "clock_timestamp() - max(e.recorded_at) AS age "
            "FROM live_orders AS o INNER JOIN order_events AS e ON e.order_id = o.id "
            "WHERE o.account = :account AND o.state = ANY(:states) AND o.exchange_order_id IS NULL "
            "GROUP BY o.id, o.client_order_id, o.side, o.symbol, o.quantity, o.state ORDER BY o.id"
        ),
        {"account": account, "states": list(IN_FLIGHT)},
    )
    return [
        UnknownOrder(row.client_order_id, row.side, row.symbol, row.quantity, State(row.state), row.age)
        for row in rows
    ]

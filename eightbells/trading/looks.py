"""Looks: when the exchange's orders of each symbol were last compared with the books."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import Connection, text


def symbols_moved(connection: Connection, account: str, margin: timedelta) -> list[str]:
    """Symbols of which an order has changed its state since the exchange's were last looked at, or waits to go out.

    What changed longer than `margin` before that look was seen then.
    """
    rows = connection.execute(
        text(
            "SELECT s.symbol FROM symbols AS s "
            "LEFT JOIN order_looks AS l ON l.account = :account AND l.symbol = s.symbol WHERE EXISTS ("
            "SELECT FROM orders AS o WHERE o.account = :account AND o.symbol = s.symbol "
            "AND o.changed_at >= coalesce(l.looked_at - :margin, '-infinity')) OR EXISTS ("
            "SELECT FROM live_orders AS o WHERE o.account = :account AND o.symbol = s.symbol AND o.state = 'PLANNED'"
            ") ORDER BY s.symbol"
        ),
        {"account": account, "margin": margin},
    )
    return list(rows.scalars())


def last_looks(connection: Connection, account: str) -> dict[str, datetime]:
    """When the exchange's orders of each symbol were last looked at."""
    rows = connection.execute(
        text("SELECT symbol, looked_at FROM order_looks WHERE account = :account"), {"account": account}
    )
    return {row.symbol: row.looked_at for row in rows}


def note_look(connection: Connection, account: str, symbols: Collection[str], at: datetime) -> None:
    """Keep when the exchange's orders of some symbols were looked at."""
    connection.execute(
        text(
            "INSERT INTO order_looks (account, symbol, looked_at) "
            "SELECT :account, symbol, CAST(:at AS timestamptz) FROM unnest(CAST(:symbols AS text[])) AS symbol "
            "ON CONFLICT (account, symbol) DO UPDATE SET looked_at = excluded.looked_at"
        ),
        {"account": account, "symbols": sorted(symbols), "at": at},
    )

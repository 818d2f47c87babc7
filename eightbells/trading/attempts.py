"""Attempts: the orders that one decision has led to, one after the other, and whether another may follow."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, text

from eightbells.trading.outbox import Order, load, load_all


def latest_attempt(connection: Connection, order: int) -> Order:
    """The newest attempt at the decision that an order belongs to."""
    number: int = connection.execute(
        text(
            "SELECT id FROM orders WHERE (signal_id, leg) = "
            "(SELECT signal_id, leg FROM orders WHERE id = :id) ORDER BY attempt DESC LIMIT 1"
        ),
        {"id": order},
    ).scalar_one()
    return load(connection, number)


def next_attempt(connection: Connection, signal: int, leg: str) -> int:
    """The number of the next attempt at a leg that follows what is held, however often that changes."""
    attempt: int = connection.execute(
        text("SELECT coalesce(max(attempt), 0) + 1 FROM orders WHERE signal_id = :signal AND leg = :leg"),
        {"signal": signal, "leg": leg},
    ).scalar_one()
    return attempt


# After an exit another may always follow: it sells what is left. After an entry only where it does not exist.
_NEWEST_ATTEMPTS = """
SELECT DISTINCT ON (o.signal_id)
    o.signal_id, o.attempt,
    o.leg = 'exit' AND o.state IN ('FILLED', 'CANCELED', 'EXPIRED', 'DENIED')
    OR o.state = 'ABSENT'
    OR (:again AND o.state = 'REJECTED' AND coalesce(e.detail ->> 'action' IN ('wait', 'fix', 'resync'), FALSE))
    AS open
FROM orders AS o LEFT JOIN order_events AS e ON e.order_id = o.id AND e.to_state = 'REJECTED'
WHERE o.signal_id = ANY(:signals) AND o.leg IN ('entry', 'exit', 'trim') ORDER BY o.signal_id, o.attempt DESC
"""


def newest_attempts(
    connection: Connection, signals: Collection[int], *, again: bool = False
) -> dict[int, tuple[int, bool]]:
    """Number of the newest entry or exit of each signal that has one, and whether another may follow it.

    Args:
        again: whether one may follow an attempt that the exchange refused for the moment only, or for what can be
            mended: whoever refused it may have died before the next attempt was planned.
    """
    rows = connection.execute(text(_NEWEST_ATTEMPTS), {"signals": list(signals), "again": again})
    return {signal: (attempt, is_open) for signal, attempt, is_open in rows}


_PUT_OFF = """
SELECT DISTINCT ON (o.signal_id, o.leg) o.id, o.state = 'REJECTED' AND e.detail ->> 'action' = 'wait' AS waits
FROM orders AS o LEFT JOIN order_events AS e ON e.order_id = o.id AND e.to_state = 'REJECTED'
WHERE o.account = :account AND o.open_time = :opened AND o.leg IN ('entry', 'exit', 'trim')
ORDER BY o.signal_id, o.leg, o.attempt DESC
"""


def put_off(connection: Connection, account: str, open_time: datetime) -> list[Order]:
    """The orders of a candle that the exchange refused for the moment only, and that no later attempt replaced."""
    rows = connection.execute(text(_PUT_OFF), {"account": account, "opened": open_time})
    return load_all(connection, [order for order, waits in rows if waits])

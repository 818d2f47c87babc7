"""The trading switch: while it is off, no order that buys or follows a signal is sent."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, Engine, text


def set_switch(engine: Engine, on: bool, reason: str) -> None:
    """Turn trading on or off; it takes effect with the next order of any process."""
    with engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE switches SET is_on = :on, reason = :reason, changed_at = clock_timestamp() "
                "WHERE name = 'trading'"
            ),
            {"on": on, "reason": reason},
        )


def read_switch(connection: Connection) -> tuple[bool, str, datetime]:
    """Whether trading is on, why, and since when."""
    row = connection.execute(
        text("SELECT is_on, reason, changed_at FROM switches WHERE name = 'trading'")
    ).one()
    return row.is_on, row.reason, row.changed_at


def switched_off(connection: Connection) -> str | None:
    """Why trading is off, or None where it is on."""
    reason: str | None = connection.execute(
        text("SELECT reason FROM switches WHERE name = 'trading' AND NOT is_on")
    ).scalar_one_or_none()
    return reason

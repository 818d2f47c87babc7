"""Delistings: the exchange's schedule, fetched once per hour, and what it means for purchases and holdings."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, text

from eightbells.candles import grid
from eightbells.exchange.gateway import Gateway
from eightbells.exchange.recovery import ExchangeError
from eightbells.settings import Settings

_EVERY = timedelta(hours=1)
_KEPT = timedelta(days=30)


async def refresh(settings: Settings, engine: Engine, gateway: Gateway) -> None:
    """Keep the exchange's schedule, where the last look is old. Without an answer the last one stays.

    The test exchange has no such schedule.
    """
    if settings.mode == "testnet":
        return
    now = grid.to_time(gateway.clock.now_ms())
    with engine.connect() as connection:
        looked: datetime | None = connection.execute(
            text("SELECT looked_at FROM delisting_looks")
        ).scalar_one_or_none()
    if looked is not None and looked <= now < looked + _EVERY:
        return
    try:
        schedule = await gateway.delist_schedule()
    except ExchangeError:
        return
    with engine.begin() as connection:
        _keep(connection, schedule, now)


def _keep(connection: Connection, schedule: Iterable[tuple[str, int]], now: datetime) -> None:
    """Take over a schedule; what has passed stays for a while, since the exchange lists it no more."""
    due = dict[str, int]()
    for symbol, at in schedule:
        due[symbol] = min(at, due.get(symbol, at))
    connection.execute(
        text("DELETE FROM delistings WHERE delist_at > :now OR delist_at < :now - CAST(:kept AS interval)"),
        {"now": now, "kept": _KEPT},
    )
    _keep_notices(connection, due, now)
    for symbol, at in due.items():
        connection.execute(
            text(
                "INSERT INTO delistings (symbol, delist_at, seen_at) "
                "SELECT symbol, :at, :now FROM symbols WHERE symbol = :symbol "
                "ON CONFLICT (symbol) DO UPDATE SET delist_at = excluded.delist_at, seen_at = excluded.seen_at"
            ),
            {"symbol": symbol, "at": grid.to_time(at), "now": now},
        )
    connection.execute(
        text(
            "INSERT INTO delisting_looks (looked_at) VALUES (:now) "
            "ON CONFLICT (one) DO UPDATE SET looked_at = excluded.looked_at"
        ),
        {"now": now},
    )


def _keep_notices(connection: Connection, due: dict[str, int], now: datetime) -> None:
    """Note which entries are new, and which are gone before their time."""
    listed = {"now": now, "symbols": list(due), "times": [grid.to_time(at) for at in due.values()]}
    entries = "unnest(CAST(:symbols AS text[]), CAST(:times AS timestamptz[])) AS e (symbol, delist_at)"
    connection.execute(
        text(
            "UPDATE delisting_notices AS n SET withdrawn_at = :now WHERE withdrawn_at IS NULL AND n.delist_at > :now "
            f"AND NOT EXISTS (SELECT FROM {entries} WHERE e.symbol = n.symbol AND e.delist_at = n.delist_at)"
        ),
        listed,
    )
    connection.execute(
        text(
            "INSERT INTO delisting_notices (symbol, delist_at, seen_at) "
            f"SELECT e.symbol, e.delist_at, :now FROM {entries} INNER JOIN symbols AS s ON e.symbol = s.symbol "
            "WHERE NOT EXISTS (SELECT FROM delisting_notices AS n "
            "WHERE n.symbol = e.symbol AND n.delist_at = e.delist_at AND n.withdrawn_at IS NULL)"
        ),
        listed,
    )


def scheduled(connection: Connection) -> dict[str, datetime]:
    """When each symbol that is on the schedule stops trading."""
    return {row.symbol: row.delist_at for row in connection.execute(text("SELECT * FROM delistings"))}


def refusals(connection: Connection) -> dict[str, str]:
    """Why symbols are not bought any more."""
    return {
        symbol: f"the exchange stops trading {symbol} at {at:%Y-%m-%d %H:%M} UTC"
        for symbol, at in scheduled(connection).items()
    }


def advice(connection: Connection, settings: Settings) -> list[str]:
    """What is held and will not be traded any more, and what to do about it, in words."""
    rows = connection.execute(
        text(
            "SELECT p.strategy, p.symbol, d.delist_at FROM positions AS p "
            "INNER JOIN delistings AS d ON p.symbol = d.symbol "
            "WHERE p.account = :account AND p.quantity > 0 ORDER BY d.delist_at, p.symbol, p.strategy"
        ),
        {"account": settings.account},
    )
    hours = settings.risk.delist_exit_hours
    then = (
        f"it is sold {hours:g} hours before (risk.delist_exit_hours)"
        if hours
        else "`eightbells sell` sells it; risk.delist_exit_hours does so beforehand"
    )
    return [
        f"{row.symbol} of {row.strategy}: the exchange stops trading it at {row.delist_at:%Y-%m-%d %H:%M} UTC; {then}"
        for row in rows
    ]

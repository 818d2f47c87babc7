"""The grid of the cycle's candles, which open at 00:00, 04:00 ... UTC, and how moments are written.

Times are milliseconds since 1970 unless typed otherwise."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from eightbells.candles.timeframe import CYCLE

INTERVAL = CYCLE.name
STEP = CYCLE.step
STEP_MS = CYCLE.step_ms
floor = CYCLE.floor
last_closed = CYCLE.last_closed
closes_at = CYCLE.closes_at


def to_ms(moment: datetime) -> int:
    """Milliseconds of a time that has a zone; ValueError where it has none."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no time zone")
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def to_time(moment_ms: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=moment_ms)


def label(open_ms: int) -> str:
    """How a candle is named to people: `2021-03-01 04:00`."""
    return to_time(open_ms).strftime("%Y-%m-%d %H:%M")

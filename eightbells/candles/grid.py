"""The four-hour grid: candles open at 00:00, 04:00 ... UTC.

Times are milliseconds since 1970 unless typed otherwise."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

INTERVAL = "4h"
STEP = timedelta(hours=4)
STEP_MS = int(STEP.total_seconds() * 1000)


def floor(moment_ms: int) -> int:
    """The open time of the candle that runs at the moment."""
    return moment_ms - moment_ms % STEP_MS


def last_closed(now_ms: int) -> int:
    """The open time of the newest candle that is over at `now_ms` of the exchange's clock."""
    return floor(now_ms) - STEP_MS


def closes_at(open_ms: int) -> int:
    """The first moment at which the candle is over."""
    return open_ms + STEP_MS


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

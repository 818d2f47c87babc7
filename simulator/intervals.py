"""Kline intervals: which there are, and where their candles open and close."""

from __future__ import annotations

from datetime import UTC, datetime

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
WEEK = 7 * DAY
MONDAY = 4 * DAY  # 1970-01-05, the first Monday

FIXED = {
    "1s": 1000,
    "1m": MINUTE,
    "3m": 3 * MINUTE,
    "5m": 5 * MINUTE,
    "15m": 15 * MINUTE,
    "30m": 30 * MINUTE,
    "1h": HOUR,
    "2h": 2 * HOUR,
    "4h": 4 * HOUR,
    "6h": 6 * HOUR,
    "8h": 8 * HOUR,
    "12h": 12 * HOUR,
    "1d": DAY,
    "3d": 3 * DAY,
}
NAMES = frozenset([*FIXED, "1w", "1M"])


def opening(interval: str, time: int) -> int:
    """Open time of the candle that contains a time."""
    if interval == "1w":
        return time - (time - MONDAY) % WEEK
    if interval == "1M":
        moment = datetime.fromtimestamp(time / 1000, UTC)
        return _month(moment.year, moment.month)
    return time - time % FIXED[interval]


def following(interval: str, open_time: int) -> int:
    """Open time of the candle after the one that opens at `open_time`."""
    if interval == "1w":
        return open_time + WEEK
    if interval == "1M":
        moment = datetime.fromtimestamp(open_time / 1000, UTC)
        return _month(moment.year + moment.month // 12, moment.month % 12 + 1)
    return open_time + FIXED[interval]


def _month(year: int, month: int) -> int:
    return int(datetime(year, month, 1, tzinfo=UTC).timestamp() * 1000)

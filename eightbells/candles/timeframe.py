"""How long candles last, and where on the grid they open: each interval of the exchange as a value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal

import numpy as np
import numpy.typing as npt

from eightbells.errors import EightbellsError

Slots = npt.NDArray[np.int64]

# as a type, so that forms offer the choice
Interval = Literal["1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w"]
_MINUTE = 60_000
_MONDAY_MS = 4 * 1440 * _MINUTE  # 1970-01-05: weeks of the exchange begin on Monday
_MINUTES: dict[Interval, int] = {
    "1m": 1, "3m": 3, "5m": 5, "15m": 15, "30m": 30, "1h": 60, "2h": 120, "4h": 240, "6h": 360, "8h": 480,
    "12h": 720, "1d": 1440, "3d": 4320, "1w": 10080,
}  # fmt: skip


@dataclass(frozen=True)
class Timeframe:
    """An interval of the exchange: candles of one length, side by side from `origin_ms` on.

    Times are milliseconds since 1970. A calendar month has no fixed length and is not among them.

    Args:
        name: as the exchange writes it: 1m, 4h, 1w.
        step_ms: the length of a candle.
        origin_ms: an open time; the others lie whole steps away.
    """

    name: Interval
    step_ms: int
    origin_ms: int = 0

    @classmethod
    def named(cls, name: str) -> Timeframe:
        """The timeframe of an interval.

        Raises:
            EightbellsError: there is none of this name.
        """
        try:
            return TIMEFRAMES[name]
        except KeyError:
            raise EightbellsError(
                f"candles of interval {name!r} are not stored; choose one of {', '.join(TIMEFRAMES)}"
            ) from None

    @property
    def step(self) -> timedelta:
        """The length of a candle."""
        return timedelta(milliseconds=self.step_ms)

    @property
    def origin(self) -> datetime:
        """An open time, UTC."""
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=self.origin_ms)

    def floor(self, moment_ms: int) -> int:
        """The open time of the candle that runs at the moment."""
        return moment_ms - (moment_ms - self.origin_ms) % self.step_ms

    def ceiling(self, moment_ms: int) -> int:
        """The first open time that is not before the moment."""
        return self.floor(moment_ms + self.step_ms - 1)

    def opens_at(self, moment_ms: int) -> bool:
        """Whether a candle opens at the moment."""
        return (moment_ms - self.origin_ms) % self.step_ms == 0

    def last_closed(self, now_ms: int) -> int:
        """The open time of the newest candle that is over at `now_ms` of the exchange's clock."""
        return self.floor(now_ms) - self.step_ms

    def closes_at(self, open_ms: int) -> int:
        """The first moment at which the candle is over."""
        return open_ms + self.step_ms

    def slots(self, first_ms: int, last_ms: int) -> Slots:
        """All open times from first to last, both included."""
        return np.arange(self.ceiling(first_ms), last_ms + 1, self.step_ms, dtype=np.int64)

    def within(self, first: date, last: date) -> tuple[int, int]:
        """The first and the last open time of a span of days (UTC), both days included."""
        begin, end = (_midnight_ms(day) for day in (first, last))
        return self.ceiling(begin), self.floor(end + 1440 * _MINUTE - 1)

    def months(self, first_ms: int, last_ms: int) -> Iterator[tuple[date, int, int]]:
        """The months (UTC) in which slots of the span open: the first day, the first and the last slot of each."""
        month = datetime.fromtimestamp(first_ms / 1000, UTC).date().replace(day=1)
        while _midnight_ms(month) <= last_ms:
            after = date(month.year + month.month // 12, month.month % 12 + 1, 1)
            first, last = (
                max(self.ceiling(_midnight_ms(month)), first_ms),
                min(self.floor(_midnight_ms(after) - 1), last_ms),
            )
            if first <= last:
                yield month, first, last
            month = after


def _midnight_ms(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000


TIMEFRAMES: dict[str, Timeframe] = {
    name: Timeframe(name, minutes * _MINUTE, _MONDAY_MS if name == "1w" else 0)
    for name, minutes in _MINUTES.items()
}
CYCLE = TIMEFRAMES["4h"]  # what strategies decide on

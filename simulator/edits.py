"""Changes to the candles that are served, for tests: restated, removed, corrupted, repeated or added rows.

Orders go on being matched against the candles as they were: a wrong row is wrong in the answers only.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from simulator.candles import H4
from simulator.series import Series

if TYPE_CHECKING:
    from simulator.market import Market

COLUMNS = (
    "open_time",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "close_time",
    "quote_volume",
    "trades",
    "taker_base",
    "taker_quote",
    "ignore",
)


class Edits:
    """One symbol's changed rows by open time; an empty text stands for a removed slot."""

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.rows: dict[int, bytes] = {}

    def change(self, series: Series, open_time: int, fields: dict[str, Any]) -> None:
        """Serve other values in some columns of a candle; ValueError when there is no such candle."""
        row = json.loads(self._current(series, open_time))
        for name, value in fields.items():
            if name not in COLUMNS:
                raise ValueError(f"a candle has no column {name!r}; it has {', '.join(COLUMNS)}")
            row[COLUMNS.index(name)] = value
        self.rows[open_time] = _dump(row)

    def remove(self, open_time: int) -> None:
        self.rows[open_time] = b""

    def lacks(self, start: int, end: int) -> bool:
        """Whether a span of time lies within a removed slot."""
        return end < start - start % H4 + H4 and self.rows.get(start - start % H4) == b""

    def repeat(self, series: Series, open_time: int) -> None:
        row = self._current(series, open_time)
        self.rows[open_time] = row + b"," + row

    def add(self, row: list[Any]) -> None:
        """Serve a whole row of twelve columns, or of eleven with "0" to follow."""
        if len(row) not in (11, 12) or not isinstance(row[0], int):
            raise ValueError("a row has twelve columns, the first its open time in milliseconds")
        self.rows[row[0]] = _dump([*row, "0"] if len(row) == 11 else row)

    def _current(self, series: Series, open_time: int) -> bytes:
        if self.rows.get(open_time):
            return self.rows[open_time]
        index = series.count_until(open_time) - 1
        if index < 0 or series.open_time(index) != open_time:
            raise ValueError(f"{self.symbol} has no four-hour candle that opens at {open_time}")
        return series.rows(index, index + 1)

    def klines(
        self, market: Market, series: Series, start: int | None, end: int | None, limit: int, now: int
    ) -> bytes:
        """The answer of klines for four hours with the changed rows in their places."""
        until = now if end is None else min(end, now)
        changed = {time: row for time, row in self.rows.items() if (start or 0) <= time <= until}
        stop = series.count_until(until)
        first = series.count_until(start - 1) if start is not None else max(0, stop - limit - len(changed))
        if start is not None:
            stop = min(stop, first + limit + len(changed))
        rows = {series.open_time(i): market.rows_4h(series, i, i + 1, now) for i in range(first, stop)}
        rows.update({t: row for t, row in changed.items() if not _unfinished(series, t, now)})
        ordered = [rows[time] for time in sorted(rows) if rows[time]]
        return b"[" + b",".join(ordered[:limit] if start is not None else ordered[-limit:]) + b"]"


def _unfinished(series: Series, open_time: int, now: int) -> bool:
    """Whether the slot's own candle is still running: a change shows once it has closed."""
    index = series.count_until(open_time) - 1
    exists = index >= 0 and series.open_time(index) == open_time
    return exists and open_time + H4 - 1 >= now


def _dump(row: list[Any]) -> bytes:
    return json.dumps(row, separators=(",", ":")).encode()

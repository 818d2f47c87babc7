"""Market data as of a moment: klines of every interval, the last price, averages, the day's statistics.

Everything is read from the four-hour candles and the price path inside them, so all answers agree.
"""

from __future__ import annotations

from collections.abc import Iterator

from simulator import intervals
from simulator.candles import (
    H4,
    Candle,
    Vertices,
    first_touch,
    merge,
    price_at,
    render,
    segments,
    span,
    vertices,
)
from simulator.edits import Edits
from simulator.series import Series
from simulator.symbols import SymbolTable

MAX_ROWS = 1000


class Market:
    """All symbols' candles, read as of a given time in milliseconds; prices in units of 10^-8."""

    def __init__(self, series: dict[str, Series], symbols: SymbolTable):
        self.series = series
        self.symbols = symbols
        self.edits: dict[str, Edits] = {}
        self.fixed: dict[str, int] = {}
        self.since: dict[str, int] = {}  # average prices look no further back than this
        self.revision = (
            0  # how often prices have been changed from outside: books at one time are told apart by it
        )

    def tick(self, symbol: str) -> int:
        return self.symbols.rules[symbol].tick

    def klines(
        self, symbol: str, interval: str, start: int | None, end: int | None, limit: int, now: int
    ) -> bytes:
        """The JSON answer of klines; the last row may be the unfinished candle, none lies in the future."""
        series = self.series.get(symbol)
        if series is None:
            return b"[]"
        if interval != "4h":
            return self._other_klines(symbol, interval, start, end, limit, now)
        if symbol in self.edits:
            return self.edits[symbol].klines(self, series, start, end, limit, now)
        visible = series.count_until(now)
        stop = visible if end is None else min(series.count_until(end), visible)
        if start is None:
            first = max(0, stop - limit)
        else:
            first = series.count_until(start - 1)
            stop = min(stop, first + limit)
        return b"[" + self.rows_4h(series, first, stop, now) + b"]"

    def rows_4h(self, series: Series, first: int, stop: int, now: int) -> bytes:
        """Rows first..stop-1 as they stand now, the last one unfinished until its close time has passed."""
        if first >= stop:
            return b""
        if series.close_time(stop - 1) < now:
            return series.rows(first, stop)
        candle = series.candle(stop - 1)
        so_far = span(series.symbol, candle, candle.open_time, now, self.tick(series.symbol))
        last = render(so_far, candle.open_time + H4 - 1)
        return series.rows(first, stop - 1) + b"," + last if stop - 1 > first else last

    def _other_klines(
        self, symbol: str, interval: str, start: int | None, end: int | None, limit: int, now: int
    ) -> bytes:
        until = now if end is None else min(end, now)
        found: list[bytes] = []
        opens = self._opens_from(symbol, interval, start, until)
        if start is None:
            opens = self._opens_back(symbol, interval, until)
        edits = self.edits.get(symbol)
        for open_time in opens:
            candle = self.candle(symbol, interval, open_time, now)
            if candle is not None and not (edits and edits.lacks(candle.open_time, candle.close_time)):
                found.append(render(candle))
            if len(found) == limit:
                break
        if start is None:
            found.reverse()
        return b"[" + b",".join(found) + b"]"

    def _opens_from(self, symbol: str, interval: str, start: int | None, until: int) -> Iterator[int]:
        """Open times at or after `start`, ascending, beginning where the symbol's history does."""
        series = self.series[symbol]
        if start is not None and start > until:
            return
        first = intervals.opening(interval, max(start or 0, series.open_time(0)))
        if start is not None and first < start:
            first = intervals.following(interval, first)
        while first <= until:
            yield first
            first = intervals.following(interval, first)

    def _opens_back(self, symbol: str, interval: str, until: int) -> Iterator[int]:
        """Open times at or before `until`, descending, to the beginning of the symbol's history."""
        series = self.series[symbol]
        last = series.end()
        open_time = intervals.opening(interval, until if last is None else min(until, last))
        while open_time + 31 * intervals.DAY > series.open_time(0):
            yield open_time
            open_time = intervals.opening(interval, open_time - 1)

    def candle(self, symbol: str, interval: str, open_time: int, now: int) -> Candle | None:
        """One candle of any interval as it stands now; None where nothing was traded."""
        close_time = intervals.following(interval, open_time) - 1
        parts = self.parts(symbol, open_time, min(close_time, now))
        return merge(parts, open_time, close_time) if parts else None

    def parts(self, symbol: str, start: int, end: int) -> list[Candle]:
        """The pieces of four-hour candles that lie between two moments, both included."""
        series, tick = self.series[symbol], self.tick(symbol)
        first, stop = series.count_until(start - H4), series.count_until(end)
        pieces = []
        for index in range(first, stop):
            candle = series.candle(index)
            if candle.close_time < start:
                continue
            whole = start <= candle.open_time and end >= candle.close_time
            pieces.append(candle if whole else span(symbol, candle, start, end, tick))
        return pieces

    def served_row(self, symbol: str, open_time: int) -> bytes | None:
        """A four-hour candle's row as klines serves it; empty when removed, None when there is none."""
        edits, series = self.edits.get(symbol), self.series[symbol]
        if edits is not None and open_time in edits.rows:
            return (
                edits.rows[open_time].split(b"],[")[0].rstrip(b"]") + b"]" if edits.rows[open_time] else b""
            )
        index = series.count_until(open_time) - 1
        if index < 0 or series.open_time(index) != open_time:
            return None
        return series.rows(index, index + 1)

    def price(self, symbol: str, now: int) -> int | None:
        """The last price; None where there has been no trade yet."""
        if symbol in self.fixed:
            return self.fixed[symbol]
        series = self.series.get(symbol)
        index = series.count_until(now) - 1 if series else -1
        if series is None or index < 0:
            return None
        candle = series.candle(index)
        if now >= candle.close_time:
            return candle.close
        return price_at(vertices(symbol, candle), now, self.tick(symbol))

    def average(self, symbol: str, minutes: int, now: int) -> int | None:
        """The average price over the last minutes; with 0 minutes, or none traded, the last price."""
        start = max(now - minutes * intervals.MINUTE, self.since.get(symbol, 0))
        if symbol in self.fixed or symbol not in self.series or not minutes:
            return self.price(symbol, now)
        parts = self.parts(symbol, start, now)
        volume = sum(part.volume for part in parts)
        if volume == 0:
            return self.price(symbol, now)
        # Each piece is weighed by its volume; within a piece the path's mean stands for its trades.
        return sum(self._mean(symbol, part) * part.volume for part in parts) // volume

    def _mean(self, symbol: str, part: Candle) -> int:
        return (part.open + part.high + part.low + part.close) // 4

    def path(self, symbol: str, after: int) -> tuple[Vertices, int]:
        """The price path that contains a time or follows within four hours, and until when it is known.

        Beyond the last candle the path is empty and known to the end of the slot.
        """
        series = self.series.get(symbol)
        slot_end = after - after % H4 + H4 - 1
        if series is None or symbol in self.fixed:
            return (), slot_end
        index = series.count_until(after) - 1
        if index >= 0 and series.close_time(index) >= after:
            candle = series.candle(index)
            return vertices(symbol, candle), candle.close_time
        return (), slot_end

    def touch(self, symbol: str, level: int, rising: bool, after: int) -> tuple[int | None, int]:
        """When the price first reaches a level, at or after a time, and until when that was looked for."""
        path, known_until = self.path(symbol, after)
        if path:
            return first_touch(path, level, rising, after), known_until
        price = self.price(symbol, after)
        if price is not None and (price >= level if rising else price <= level):
            return after, known_until
        return None, known_until

    def path_segments(self, symbol: str, after: int) -> tuple[list[tuple[int, int, int, int]], int]:
        """The straight pieces of the path, and until when it is known."""
        path, known_until = self.path(symbol, after)
        return list(segments(path)), known_until

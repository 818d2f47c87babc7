"""One symbol's four-hour candles, kept as the JSON rows they are answered with.

All rows of a series lie in one byte string with an array of offsets: a thousand candles are one slice.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from simulator.candles import H4, Candle, parse
from simulator.kline_files import Fields, read_rows

Times = np.ndarray[tuple[int], np.dtype[np.int64]]


class Series(Protocol):
    """What the market needs of a symbol's candles; numbered from 0 in order of open time."""

    symbol: str

    def count_until(self, time: int) -> int:
        """How many candles open at or before a time."""

    def open_time(self, index: int) -> int: ...

    def close_time(self, index: int) -> int: ...

    def rows(self, first: int, stop: int) -> bytes:
        """The JSON rows first..stop-1, joined by commas."""

    def candle(self, index: int) -> Candle: ...

    def end(self) -> int | None:
        """Close time of the last candle; None when there is no last one."""

    def append(self, row: list[Any]) -> bool:
        """Go on with a sound candle after the last one; False when the row cannot stand there."""


class StoredSeries:
    """Candles from a CSV file in Binance's format."""

    def __init__(self, symbol: str, rows: list[Fields]):
        self.symbol = symbol
        self._opens: Times = np.array([int(row[0]) for row in rows], np.int64)
        self._closes: Times = np.array([int(row[6]) for row in rows], np.int64)
        rendered = [_row(row) for row in rows]
        self._offsets = np.cumsum([0, *(len(row) + 1 for row in rendered)])
        self._text = b",".join(rendered)
        self.candle = lru_cache(4096)(self._candle)  # type: ignore[method-assign]

    @classmethod
    def load(cls, path: Path, symbol: str) -> StoredSeries:
        """Read SYMBOL-4h.csv.gz or .csv; raises BadFile when it cannot be used."""
        return cls(symbol, read_rows(path))

    def count_until(self, time: int) -> int:
        return int(self._opens.searchsorted(time, "right"))

    def open_time(self, index: int) -> int:
        return int(self._opens[index])

    def close_time(self, index: int) -> int:
        return int(self._closes[index])

    def rows(self, first: int, stop: int) -> bytes:
        return self._text[self._offsets[first] : self._offsets[stop] - 1] if stop > first else b""

    def candle(self, index: int) -> Candle:
        return self._candle(index)

    def _candle(self, index: int) -> Candle:
        return parse(self.rows(index, index + 1))

    def end(self) -> int | None:
        return int(self._closes[-1]) if len(self._closes) else 0

    def append(self, row: list[Any]) -> bool:
        if not _sound(row) or row[0] <= (self.end() or 0):
            return False
        rendered = _row([str(value) for value in row])
        self._text += (b"," if self._text else b"") + rendered
        self._opens = np.append(self._opens, row[0])
        self._closes = np.append(self._closes, row[6])
        self._offsets = np.append(self._offsets, self._offsets[-1] + len(rendered) + 1)
        return True


def _sound(row: list[Any]) -> bool:
    """Whether the engine can trade along a row: whole times, and prices in their order."""
    try:
        o, h, lo, c = (Decimal(str(value)) for value in row[1:5])
        rest = [Decimal(str(row[i])) for i in (5, 7, 8, 9, 10)]
        times = row[0] < row[6] and row[0] % H4 == 0 and row[6] < row[0] + H4
    except (InvalidOperation, IndexError, TypeError):
        return False
    return bool(times and 0 < lo <= min(o, c) and max(o, c) <= h and min(rest) >= 0)


def _row(fields: Fields) -> bytes:
    """A CSV line as a JSON row; the decimal strings stay as they are."""
    o, op, h, lo, c, v, ct, q, n, tb, tq, *rest = fields
    ignore = rest[0] if rest else "0"
    return f'[{o},"{op}","{h}","{lo}","{c}","{v}",{ct},"{q}",{n},"{tb}","{tq}","{ignore}"]'.encode()

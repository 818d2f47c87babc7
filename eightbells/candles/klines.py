"""Klines as the exchange sent them, and the plain ones among them: read as columns, with their digits kept.

Rows stay the text that came as long as nobody looks at one of them.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pandas as pd

from eightbells.candles.frame import (
    GREATEST_INTEGER,
    INTEGERS,
    KLINE,
    MOST_DIGITS,
    candle_frame,
)
from eightbells.candles.timeframe import CYCLE, Timeframe

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Numbers = Floats | Integers

# What must not lie above what. Two figures that differ only where a float ends are compared exactly.
_NEVER_ABOVE = (
    ("low", "open"),
    ("low", "close"),
    ("open", "high"),
    ("close", "high"),
    ("taker_buy_base", "volume"),
)
_FIELDS = 12  # the last one has no meaning
_AT = {name: at for at, name in enumerate(KLINE)}
_DECIMALS = [name for name in KLINE if name not in INTEGERS]
_DECIMALS_AT = [_AT[name] for name in _DECIMALS]
_INTEGERS_AT = [_AT[name] for name in KLINE if name in INTEGERS]
# A row of JSON without its digits and points: integers are bare, decimals are strings.
_SHAPE = b"[" + b",".join(b"" if name in INTEGERS else b'""' for name in KLINE) + b',""]'
_FIGURES = b"0123456789."
_TABS = bytes.maketrans(b",", b"\t")
_UNIT_PLACES, _UNITS = 8, 1e8
_MOST_OF_UNITS = 18  # digits that 64 bits hold


@dataclass(frozen=True, eq=False)
class RowsText(Sequence[Any]):
    """Rows of klines as JSON, to the letter as Binance writes it; they are read where one is looked at."""

    text: bytes
    length: int

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: Any) -> Any:
        return self._rows[index]

    @functools.cached_property
    def _rows(self) -> list[Any]:
        try:
            rows: list[Any] = orjson.loads(self.text)
        except orjson.JSONDecodeError:  # a number with a 0 before it
            return [self.text.decode()] * self.length
        return rows


def rows_text(body: bytes) -> RowsText | None:
    """An answer as rows of klines, where it has their shape; else None."""
    if not body.startswith(b"[["):
        return None
    shape = body.translate(None, _FIGURES)
    count = len(shape) // (len(_SHAPE) + 1)
    return RowsText(body, count) if shape == b"[" + b",".join([_SHAPE] * count) + b"]" else None


def as_json(rows: Sequence[Any]) -> bytes:
    """Rows as JSON.

    Raises:
        TypeError: JSON cannot hold one of them.
    """
    return rows.text if isinstance(rows, RowsText) else orjson.dumps(rows)


@dataclass(frozen=True)
class Klines:
    """The rows of one answer.

    Args:
        asked: the open times (ms) that were asked for.
    """

    symbol: str
    rows: Sequence[Any]
    asked: range = range(GREATEST_INTEGER)
    timeframe: Timeframe = CYCLE

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def frame(self) -> pd.DataFrame:
        """The candle frame, for klines of any kind."""
        return candle_frame(self.symbol, self.rows, self.asked)


@dataclass(frozen=True)
class PlainKlines:
    """Closed candles of one symbol without anything odd: each figure is the decimal of a number of at least 0.

    Args:
        lines: as `store.write` takes them, with the digits that came.
        numbers: the columns as floats and integers. What holds of the floats holds of the decimals too.
    """

    symbol: str
    lines: bytes
    numbers: dict[str, Numbers]
    asked: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.asked)


def plain(klines: Klines, now_ms: int) -> PlainKlines | None:
    """The closed candles among the klines as columns; None where anything about them is odd.

    Args:
        now_ms: the exchange's time: the candle that still runs is left out.
    """
    rows = klines.rows
    if not isinstance(rows, RowsText):
        try:
            read = rows_text(orjson.dumps(rows))
        except TypeError:
            return None
        if read is None:
            return None
        rows = read
    if (numbers := _numbers(rows.text)) is None:
        return None
    lines = _lines(klines.symbol, rows.text)
    opened = numbers["open_time"]
    running = (opened <= now_ms) & (now_ms < opened + klines.timeframe.step_ms)
    if running.any():
        kept = np.flatnonzero(~running)
        each = lines.splitlines(keepends=True)
        lines = b"".join([each[at] for at in kept])
        numbers = {name: column[kept] for name, column in numbers.items()}
        opened = numbers["open_time"]
    there = (opened >= klines.asked.start) & (opened < klines.asked.stop)
    return PlainKlines(klines.symbol, lines, numbers, there)


def _lines(symbol: str, text: bytes) -> bytes:
    """Each row as a line, its fields separated by tabs, after the symbol."""
    begin = f"{symbol}\t".encode()
    rows = text.translate(_TABS, b'"')[2:-2]
    return begin + rows.replace(b"]\t[", b"\n" + begin) + b"\n"


def _numbers(text: bytes) -> dict[str, Numbers] | None:
    """The columns of rows that have the shape of klines; None where a figure is none, or lies above what it must not.

    Where all decimals have eight places, as nearly all have, they are read and compared as integers of their smallest
    unit: to read floats takes five times as long.
    """
    line = text.translate(None, b'[]"')
    characters = np.frombuffer(line, dtype=np.uint8)
    dots = np.flatnonzero(characters == ord("."))
    ends = np.append(np.flatnonzero(characters == ord(",")), len(line)).reshape(-1, _FIELDS)
    starts = np.concatenate([[0], ends.ravel()[:-1] + 1]).reshape(ends.shape)
    lengths = ends - starts
    if lengths.min() < 1 or lengths.max() > MOST_DIGITS or lengths[:, _INTEGERS_AT].max() > _MOST_OF_UNITS:
        return None
    are_units = (
        lengths.max() <= _MOST_OF_UNITS + 1
        and len(dots) == len(ends) * len(_DECIMALS)
        and (ends[:, _DECIMALS_AT].ravel() - dots == _UNIT_PLACES + 1).all()
    )
    if are_units:
        found = _units(line)
    else:
        before, after = np.searchsorted(dots, starts), np.searchsorted(dots, ends)
        found = None if (before != after)[:, _INTEGERS_AT].any() else _floats(line, starts, ends)
    if found is None or any(found[name].max() >= GREATEST_INTEGER for name in INTEGERS):
        return None
    return found


def _units(line: bytes) -> dict[str, Numbers] | None:
    values = np.fromstring(line.replace(b".", b""), dtype=np.int64, sep=",").reshape(-1, _FIELDS)
    columns = {name: values[:, at].copy() for name, at in _AT.items()}
    if any((columns[smaller] > columns[larger]).any() for smaller, larger in _NEVER_ABOVE):
        return None
    return {name: column if name in INTEGERS else column / _UNITS for name, column in columns.items()}


def _floats(line: bytes, starts: Integers, ends: Integers) -> dict[str, Numbers] | None:
    try:
        values = np.fromstring(line, dtype=np.float64, sep=",")
    except ValueError:
        return None
    if len(values) != starts.size:
        return None
    columns = {name: values.reshape(-1, _FIELDS)[:, at].copy() for name, at in _AT.items()}

    def digits(row: int, name: str) -> str:
        return line[starts[row, _AT[name]] : ends[row, _AT[name]]].decode()

    for smaller, larger in _NEVER_ABOVE:
        if (columns[smaller] > columns[larger]).any():
            return None
        for row in np.flatnonzero(columns[smaller] == columns[larger]).tolist():
            low, high = digits(row, smaller), digits(row, larger)
            if low != high and Decimal(low) > Decimal(high):
                return None
    return {name: column.astype(np.int64) if name in INTEGERS else column for name, column in columns.items()}

"""Klines as the exchange sent them, and the plain ones among them: read as columns, with their digits kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eightbells.candles.frame import (
    GREATEST_INTEGER,
    INTEGERS,
    KLINE,
    MOST_DIGITS,
    candle_frame,
)
from eightbells.candles.timeframe import CYCLE, Timeframe

Numbers = npt.NDArray[np.float64] | npt.NDArray[np.int64]
Columns = dict[str, tuple[Any, ...]]

# What must not lie above what. Two figures that differ only where a float ends are compared exactly.
_NEVER_ABOVE = (
    ("low", "open"), ("low", "close"), ("open", "high"), ("close", "high"), ("taker_buy_base", "volume"),
)  # fmt: skip
_DECIMALS = tuple(name for name in KLINE if name not in INTEGERS)
_PLAIN = str.maketrans("", "", "0123456789. ")


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
        columns: as they came: integers, and the strings of decimals.
        numbers: the same as floats and integers. What holds of the floats holds of the decimals too.
    """

    symbol: str
    columns: Columns
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
    if any(type(row) is not list or len(row) <= len(KLINE) for row in rows):
        return None
    columns: Columns = dict(zip(KLINE, zip(*rows, strict=False), strict=False))
    decimals, integers = _decimals([columns[name] for name in _DECIMALS]), _integers(columns)
    if decimals is None or integers is None:
        return None
    numbers: dict[str, Numbers] = {**integers, **dict(zip(_DECIMALS, decimals, strict=True))}
    opened = numbers["open_time"]
    running = (opened <= now_ms) & (now_ms < opened + klines.timeframe.step_ms)
    if running.any():
        kept = np.flatnonzero(~running)
        columns = {name: tuple(column[index] for index in kept) for name, column in columns.items()}
        numbers = {name: column[kept] for name, column in numbers.items()}
        opened = numbers["open_time"]
    there = (opened >= klines.asked.start) & (opened < klines.asked.stop)
    return PlainKlines(klines.symbol, columns, numbers, there)


def _integers(columns: Columns) -> dict[str, Numbers] | None:
    found: dict[str, Numbers] = {}
    for name in INTEGERS:
        column = columns[name]
        if (
            set(map(type, column)) != {int}
            or not -GREATEST_INTEGER < min(column) <= max(column) < GREATEST_INTEGER
        ):
            return None
        found[name] = np.array(column, dtype=np.int64)
    return found


def _decimals(columns: list[tuple[Any, ...]]) -> npt.NDArray[np.float64] | None:
    """The columns as rows of floats; None where one holds anything but digits, or one lies above what it must not.

    Where all have eight places, as nearly all have, they are compared as integers of their smallest unit: reading
    floats takes five times as long.
    """
    values = [value for column in columns for value in column]
    if set(map(type, values)) != {str} or max(map(len, values)) > MOST_DIGITS:
        return None
    line = " ".join(values)
    if line.translate(_PLAIN):
        return None
    units = _units(line.encode(), len(values))
    if units is not None:
        exact = dict(zip(_DECIMALS, units.reshape(len(columns), -1), strict=True))
        if all((exact[smaller] <= exact[larger]).all() for smaller, larger in _NEVER_ABOVE):
            return (units / 1e8).reshape(len(columns), -1)
        return None
    try:
        read = np.fromstring(line, dtype=np.float64, sep=" ")
    except ValueError:
        return None
    if len(read) != len(values):
        return None
    floats = read.reshape(len(columns), -1)
    rows = dict(zip(_DECIMALS, zip(columns, floats, strict=True), strict=True))
    return (
        floats if all(_is_exact(*rows[smaller], *rows[larger]) for smaller, larger in _NEVER_ABOVE) else None
    )


def _units(line: bytes, count: int) -> npt.NDArray[np.int64] | None:
    """The decimals of a line as integers, where each has eight places and an integer can hold it."""
    characters = np.frombuffer(line, dtype=np.uint8)
    dots = np.flatnonzero(characters == ord("."))
    ends = np.append(np.flatnonzero(characters == ord(" ")), len(line))
    starts = np.concatenate([[0], ends[:-1] + 1])
    if len(dots) != count or len(ends) != count or (ends - dots != 9).any() or (ends - starts > 19).any():
        return None
    return np.fromstring(line.replace(b".", b""), dtype=np.int64, sep=" ")


def _is_exact(
    smaller: tuple[str, ...],
    small: npt.NDArray[np.float64],
    larger: tuple[str, ...],
    large: npt.NDArray[np.float64],
) -> bool:
    """Whether where two figures are the same as floats the one does not lie above the other."""
    return all(
        smaller[index] == larger[index] or Decimal(smaller[index]) <= Decimal(larger[index])
        for index in np.flatnonzero(small == large)
    )

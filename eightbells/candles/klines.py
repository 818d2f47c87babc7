"""Klines as the exchange sent them, and the plain ones among them: read as columns, with their digits kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eightbells.candles import grid
from eightbells.candles.frame import (
    GREATEST_INTEGER,
    INTEGERS,
    KLINE,
    MOST_DIGITS,
    candle_frame,
)

Numbers = npt.NDArray[np.float64] | npt.NDArray[np.int64]
Columns = dict[str, tuple[Any, ...]]

# What must not lie above what. Two figures that differ only where a float ends are compared exactly.
_NEVER_ABOVE = (
    ("low", "open"), ("low", "close"), ("open", "high"), ("close", "high"), ("taker_buy_base", "volume"),
)  # fmt: skip
_PLAIN = str.maketrans("", "", "0123456789.")


@dataclass(frozen=True)
class Klines:
    """The rows of one answer.

    Args:
        asked: the open times (ms) that were asked for.
    """

    symbol: str
    rows: Sequence[Any]
    asked: range = range(GREATEST_INTEGER)

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
    values = zip(*rows, strict=False)
    columns: Columns = dict(zip(KLINE, values, strict=False))
    numbers: dict[str, Numbers] = {}
    for name, column in columns.items():
        read = _integers(column) if name in INTEGERS else _decimals(column)
        if read is None:
            return None
        numbers[name] = read
    if not all(_is_exact(columns, numbers, *pair) for pair in _NEVER_ABOVE):
        return None
    opened = numbers["open_time"]
    running = (opened <= now_ms) & (now_ms < opened + grid.STEP_MS)
    if running.any():
        kept = np.flatnonzero(~running)
        columns = {name: tuple(column[index] for index in kept) for name, column in columns.items()}
        numbers = {name: column[kept] for name, column in numbers.items()}
        opened = numbers["open_time"]
    there = (opened >= klines.asked.start) & (opened < klines.asked.stop)
    return PlainKlines(klines.symbol, columns, numbers, there)


def _integers(column: tuple[Any, ...]) -> Numbers | None:
    if set(map(type, column)) != {int} or max(column) >= GREATEST_INTEGER or min(column) <= -GREATEST_INTEGER:
        return None
    return np.array(column, dtype=np.int64)


def _decimals(column: tuple[Any, ...]) -> Numbers | None:
    if set(map(type, column)) != {str} or max(map(len, column)) > MOST_DIGITS:
        return None
    if "".join(column).translate(_PLAIN):
        return None
    try:
        return np.array(column, dtype=np.float64)
    except ValueError:
        return None


def _is_exact(columns: Columns, numbers: dict[str, Numbers], smaller: str, larger: str) -> bool:
    """Whether where two figures are the same as floats the one does not lie above the other."""
    return all(
        columns[smaller][index] == columns[larger][index]
        or Decimal(columns[smaller][index]) <= Decimal(columns[larger][index])
        for index in np.flatnonzero(numbers[smaller] == numbers[larger])
    )

"""Candles of one symbol as a decision looks at them: numbers to reckon with, and every digit that is stored."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import numpy.typing as npt
import pandas as pd

from eightbells.candles.timeframe import Slots

SHOWN = ("open", "high", "low", "close", "volume", "quote_volume", "trades")
_CLOSE = SHOWN.index("close")
_TINY = re.compile(r"\b0\.000000\d+")  # what a Decimal writes with an exponent


@dataclass(frozen=True, eq=False)
class Window:
    """Candles in a row, oldest first.

    Args:
        opens: open times (ms).
        numbers: the columns `SHOWN` as floats, a row a candle.
        lines: of each candle, separated by tabs: anything, the open time (ms), and the columns `SHOWN`.
    """

    opens: Slots
    numbers: npt.NDArray[np.float64]
    lines: Sequence[bytes]

    def __len__(self) -> int:
        return len(self.opens)

    def newest(self, count: int) -> Window:
        """The newest `count` candles, or all where there are fewer."""
        if count >= len(self):
            return self
        first = len(self) - count
        return Window(self.opens[first:], self.numbers[first:], self.lines[first:])

    @functools.cached_property
    def shown(self) -> pd.DataFrame:
        """The candles as strategies get them: columns `SHOWN` (float), index open_time (UTC)."""
        return pd.DataFrame(self.numbers.copy(), columns=[*SHOWN], index=self._times)

    @functools.cached_property
    def exact(self) -> pd.DataFrame:
        """The candles as they are stored: columns `SHOWN` (Decimal, trades int), index open_time (UTC)."""
        rows = [line.decode().split("\t")[2:] for line in self.lines]
        columns = dict(zip(SHOWN, zip(*rows, strict=True), strict=True)) if rows else dict.fromkeys(SHOWN, ())
        read = {
            name: [*map(int if name == "trades" else Decimal, values)] for name, values in columns.items()
        }
        return pd.DataFrame(read, columns=[*SHOWN], index=self._times)

    @property
    def close(self) -> Decimal:
        """The newest close."""
        return Decimal(self.lines[-1].split(b"\t")[2 + _CLOSE].decode())

    @property
    def digits(self) -> str:
        """A line a candle: its open time (ms) and the columns `SHOWN`, as `Decimal` writes them."""
        lines = b"\n".join([line.partition(b"\t")[2] for line in self.lines]).decode()
        return _TINY.sub(lambda found: str(Decimal(found.group())), lines.replace("\t", " "))

    @property
    def _times(self) -> pd.DatetimeIndex:
        return pd.DatetimeIndex(pd.to_datetime(self.opens, unit="ms", utc=True), name="open_time")

"""RSI mean reversion: long after the RSI has fallen below `entry` in a rising market, until it is above `exit`.

The relative strength index here is Cutler's: it weighs the last `period` changes alike, so it depends on these candles
alone. Wilder's smoothing, which TA-Lib's RSI has, depends on where a window begins.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field, model_validator

from eightbells.strategies import contract

_Floats = npt.NDArray[np.float64]


class _Parameters(contract.Parameters):
    period: int = Field(default=4, ge=2, le=100)
    entry: float = Field(default=15, gt=0, lt=100)
    exit: float = Field(default=60, gt=0, lt=100)
    trend: int = Field(default=200, ge=0, le=2000)
    memory: int = Field(default=60, ge=1, le=1000)

    @model_validator(mode="after")
    def _exit_is_higher(self) -> _Parameters:
        if self.entry >= self.exit:
            raise ValueError("entry must be smaller than exit")
        return self


class RsiReversion:
    """The newest of the last `memory` candles with an RSI beyond a bound decides; without one, flat.

    An RSI below `entry` counts only where the close is above the mean of the last `trend` closes; with a trend of
    0 it always does.
    """

    version: ClassVar[str] = "1"
    Parameters: ClassVar[type[contract.Parameters]] = _Parameters

    def __init__(self, parameters: _Parameters) -> None:
        self._period, self._trend, self._memory = parameters.period, parameters.trend, parameters.memory
        self._entry, self._exit = parameters.entry, parameters.exit

    @property
    def window(self) -> int:
        return max(self._period + 1, self._trend) + self._memory

    def decide(self, candles: pd.DataFrame) -> contract.Opinion:
        rsi, bought, sold = self._found(candles["close"].to_numpy(dtype=float))
        beyond = np.flatnonzero((bought | sold)[-self._memory :])
        if not len(beyond):
            return contract.Opinion("flat", f"RSI{self._period} beyond no bound in {self._memory} candles")
        index = len(rsi) - min(self._memory, len(rsi)) + int(beyond[-1])
        ago = len(rsi) - 1 - index
        when = "with this candle" if ago == 0 else f"{ago} candles ago"
        if bought[index]:
            return contract.Opinion("long", f"RSI{self._period} {rsi[index]:.4g} < {self._entry:g} {when}")
        return contract.Opinion("flat", f"RSI{self._period} {rsi[index]:.4g} > {self._exit:g} {when}")

    def signals(self, candles: pd.DataFrame) -> npt.NDArray[np.bool_]:
        """Of each candle whether `decide` on its window says long; False where there is no whole window."""
        rsi, bought, sold = self._found(candles["close"].to_numpy(dtype=float))
        long = np.zeros(len(rsi), dtype=bool)
        if len(rsi) < self.window:
            return long
        places = np.arange(len(rsi))
        newest = np.maximum.accumulate(np.where(bought | sold, places, -1))
        long = (newest >= 0) & (places - newest < self._memory) & bought[np.maximum(newest, 0)]
        long[: self.window - 1] = False
        return long

    def _found(self, close: _Floats) -> tuple[_Floats, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Of each candle its RSI, whether it says buy, and whether it says sell."""
        change = np.diff(close, prepend=close[:1])
        gains, moves = _sums(np.maximum(change, 0), self._period), _sums(np.abs(change), self._period)
        with np.errstate(invalid="ignore", divide="ignore"):
            rsi = np.where(moves > 0, 100 * gains / moves, 50.0)
        rsi[: self._period] = np.nan
        bought, sold = rsi < self._entry, rsi > self._exit
        if self._trend:
            bought &= close > _sums(close, self._trend) / self._trend
        return rsi, bought, sold


def _sums(values: _Floats, length: int) -> _Floats:
    """The sum of the last `length` values at each place, always added in the same order; NaN where they are too few."""
    found = np.full(len(values), np.nan)
    if len(values) >= length:
        found[length - 1 :] = 0.0
        for at in range(length):
            found[length - 1 :] += values[at : at + len(values) - length + 1]
    return found

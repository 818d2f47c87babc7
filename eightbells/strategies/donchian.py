"""Donchian breakout: long after a close above the highest high of `entry` candles, until one below the lowest
low of `exit` candles. With `risk` the average true range decides how much is bought."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd
import talib
from pydantic import Field

from eightbells.strategies import contract


class _Parameters(contract.Parameters):
    entry: int = Field(default=55, ge=2, le=500)
    exit: int = Field(default=20, ge=2, le=500)
    memory: int = Field(default=300, ge=1, le=2000)
    # the share of the capital that a move of one average true range may cost; 0: an equal share for each symbol
    risk: float = Field(default=0, ge=0, le=1)
    atr: int = Field(default=20, ge=2, le=500)


class DonchianBreakout:
    """The newest of the last `memory` candles that broke a channel decides; without one, flat."""

    version: ClassVar[str] = "1"
    Parameters: ClassVar[type[contract.Parameters]] = _Parameters

    def __init__(self, parameters: _Parameters) -> None:
        self._entry, self._exit, self._memory = parameters.entry, parameters.exit, parameters.memory
        self._risk, self._atr = parameters.risk, parameters.atr

    @property
    def window(self) -> int:
        return max(self._entry, self._exit, self._atr if self._risk else 0) + self._memory

    def decide(self, candles: pd.DataFrame) -> contract.Opinion:
        high, low, close = (candles[name].to_numpy() for name in ("high", "low", "close"))
        # the channels of the candles before: a candle does not break its own
        above = close[1:] > talib.MAX(high, self._entry)[:-1]
        below = close[1:] < talib.MIN(low, self._exit)[:-1]
        broke = np.flatnonzero((above | below)[-self._memory :])
        if not len(broke):
            return contract.Opinion("flat", f"no channel broken in {self._memory} candles")
        back = len(broke) and (min(self._memory, len(above)) - 1 - int(broke[-1]))
        index = len(close) - 1 - back
        ago = "with this candle" if back == 0 else f"{back} candles ago"
        if above[index - 1]:
            weight, sized = self._weight(high, low, close)
            reason = f"close {close[index]:.8g} broke the {self._entry}-candle high {ago}{sized}"
            return contract.Opinion("long", reason, weight=weight)
        return contract.Opinion("flat", f"close {close[index]:.8g} broke the {self._exit}-candle low {ago}")

    def _weight(
        self, high: npt.NDArray[np.float64], low: npt.NDArray[np.float64], close: npt.NDArray[np.float64]
    ) -> tuple[float | None, str]:
        """The share of the capital of which one average true range is `risk`, at most all of it; and why, in words."""
        if not self._risk:
            return None, ""
        average = float(talib.ATR(high, low, close, self._atr)[-1])
        weight = min(1.0, self._risk * float(close[-1]) / average) if average > 0 else 1.0
        return weight, f"; weight {weight:.3f} at an average true range of {average:.8g}"

    def signals(self, candles: pd.DataFrame) -> npt.NDArray[np.bool_]:
        """Of each candle whether `decide` on its window says long; False where there is no whole window."""
        high, low, close = (candles[name].to_numpy(dtype=float) for name in ("high", "low", "close"))
        long = np.zeros(len(close), dtype=bool)
        if len(close) < self.window:
            return long
        above = close[1:] > talib.MAX(high, self._entry)[:-1]
        below = close[1:] < talib.MIN(low, self._exit)[:-1]
        places = np.arange(len(above))
        newest = np.maximum.accumulate(np.where(above | below, places, -1))
        remembered = (newest >= 0) & (places - newest < self._memory)
        long[1:] = remembered & above[np.maximum(newest, 0)]
        long[: self.window - 1] = False
        return long

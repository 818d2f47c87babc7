"""Moving-average cross: long while the fast average of the closes stands above the slow one."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd
import talib
from pydantic import Field, model_validator

from eightbells.strategies import contract


class _Parameters(contract.Parameters):
    fast: int = Field(default=20, ge=1, le=500)
    slow: int = Field(default=100, ge=2, le=2000)

    @model_validator(mode="after")
    def _fast_is_faster(self) -> _Parameters:
        if self.fast >= self.slow:
            raise ValueError("fast must be smaller than slow")
        return self


_NEAR = 1e-9  # share of the price up to which TA-Lib's running sums may disagree with those of one window


class MovingAverageCross:
    """Simple moving averages over `fast` and `slow` closes."""

    version: ClassVar[str] = "1"
    Parameters: ClassVar[type[contract.Parameters]] = _Parameters

    def __init__(self, parameters: _Parameters) -> None:
        self._fast, self._slow = parameters.fast, parameters.slow

    @property
    def window(self) -> int:
        return self._slow

    def decide(self, candles: pd.DataFrame) -> contract.Opinion:
        close = candles["close"].to_numpy()
        fast = talib.SMA(close[-self._fast :], self._fast)[-1] if self._fast > 1 else close[-1]
        slow = talib.SMA(close, self._slow)[-1]
        target: contract.Target = "long" if fast > slow else "flat"
        sign = ">" if target == "long" else "<="
        return contract.Opinion(target, f"SMA{self._fast} {fast:.8g} {sign} SMA{self._slow} {slow:.8g}")

    def signals(self, candles: pd.DataFrame) -> npt.NDArray[np.bool_]:
        """Of each candle whether `decide` on its window says long; False where there is no whole window."""
        close = np.ascontiguousarray(candles["close"].to_numpy(), dtype=float)
        if len(close) < self._slow:
            return np.zeros(len(close), dtype=bool)
        fast = talib.SMA(close, self._fast) if self._fast > 1 else close
        slow = talib.SMA(close, self._slow)
        long: npt.NDArray[np.bool_] = fast > slow
        # a sum that has run along the whole history has been rounded otherwise: near a tie it is summed again
        for at in np.flatnonzero(np.abs(fast - slow) <= _NEAR * close.max()):
            window = close[at + 1 - self._slow : at + 1]
            mean = talib.SMA(window[-self._fast :], self._fast)[-1] if self._fast > 1 else window[-1]
            long[at] = mean > talib.SMA(window, self._slow)[-1]
        return long

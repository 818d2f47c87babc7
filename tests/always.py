"""A strategy of a user's own, as `package.module:Class`: it wants what its parameters say, whatever the candles."""

from __future__ import annotations

from typing import ClassVar

import pandas as pd

from eightbells.strategies import contract


class _Parameters(contract.Parameters):
    target: contract.Target = "long"
    window: int = 5


class Always:
    """Long or flat by decree; every candle of the window is looked at."""

    version: ClassVar[str] = "1"
    Parameters: ClassVar[type[contract.Parameters]] = _Parameters

    def __init__(self, parameters: _Parameters) -> None:
        self._target, self._window = parameters.target, parameters.window

    @property
    def window(self) -> int:
        return self._window

    def decide(self, candles: pd.DataFrame) -> contract.Opinion:
        assert len(candles) == self._window
        return contract.Opinion(self._target, f"decreed at close {candles['close'].iloc[-1]:g}")

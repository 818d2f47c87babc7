"""A strategy whose wishes a test can read off the closes: long while the close is above a level."""

from __future__ import annotations

from typing import ClassVar

import pandas as pd

from eightbells.strategies import contract


class _Parameters(contract.Parameters):
    level: float = 100
    window: int = 2


class Above:
    version: ClassVar[str] = "1"
    Parameters: ClassVar[type[contract.Parameters]] = _Parameters

    def __init__(self, parameters: _Parameters) -> None:
        self._level, self._window = parameters.level, parameters.window

    @property
    def window(self) -> int:
        return self._window

    def decide(self, candles: pd.DataFrame) -> contract.Opinion:
        close = candles["close"].iloc[-1]
        return contract.Opinion("long" if close > self._level else "flat", f"close {close:g}")


class _Priced(_Parameters):
    stop: float | None = None
    take_profit: float | None = None
    weight: float | None = None


class Priced(Above):
    """The same, with a stop, a target and a weight."""

    Parameters: ClassVar[type[contract.Parameters]] = _Priced

    def __init__(self, parameters: _Priced) -> None:
        super().__init__(parameters)
        self._figures = (parameters.stop, parameters.take_profit, parameters.weight)

    def decide(self, candles: pd.DataFrame) -> contract.Opinion:
        opinion = super().decide(candles)
        return contract.Opinion(opinion.target, opinion.reason, *self._figures)

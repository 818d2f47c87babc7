"""Strategies of a user's own, as `package.module:Class`: it wants what its parameters say, whatever the candles."""

from __future__ import annotations

from typing import ClassVar

import pandas as pd

from eightbells.strategies import contract


class _Parameters(contract.Parameters):
    target: contract.Target = "long"
    window: int = 5
    stop: float | None = None  # below the close, as a share of it
    take_profit: float | None = None  # above it
    weight: float | None = None


class Always:
    """Long or flat by decree; every candle of the window is looked at."""

    version: ClassVar[str] = "1"
    Parameters: ClassVar[type[contract.Parameters]] = _Parameters

    def __init__(self, parameters: _Parameters) -> None:
        self._target, self._window, self._given = parameters.target, parameters.window, parameters

    @property
    def window(self) -> int:
        return self._window

    def decide(self, candles: pd.DataFrame) -> contract.Opinion:
        assert len(candles) == self._window
        close, given = float(candles["close"].iloc[-1]), self._given
        return contract.Opinion(
            self._target,
            f"decreed at close {close:g}",
            None if given.stop is None else close * (1 - given.stop),
            None if given.take_profit is None else close * (1 + given.take_profit),
            given.weight,
        )


class Mistaken(Always):
    """One whose author did not think of everything."""

    def decide(self, candles: pd.DataFrame) -> contract.Opinion:
        if candles["close"].iloc[-1] > candles["close"].max() / 2:
            raise ZeroDivisionError("no volume\nand more of it")
        return super().decide(candles)


class Vague(Always):
    """One that answers with a word."""

    def decide(self, candles: pd.DataFrame) -> contract.Opinion:
        return "buy"  # type: ignore[return-value]

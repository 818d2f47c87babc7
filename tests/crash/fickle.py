"""A strategy of a user's own, as `package.module:Class`: it changes its mind by the digits of the last close."""

from __future__ import annotations

from typing import ClassVar

import pandas as pd

from eightbells.strategies import contract


class _Parameters(contract.Parameters):
    salt: int = 0


class Fickle:
    """Long or flat as a toss of a coin would have it, but for the same candle always the same."""

    version: ClassVar[str] = "1"
    Parameters: ClassVar[type[contract.Parameters]] = _Parameters

    def __init__(self, parameters: _Parameters) -> None:
        self._salt = parameters.salt

    @property
    def window(self) -> int:
        return 2

    def decide(self, candles: pd.DataFrame) -> contract.Opinion:
        tossed = (round(candles["close"].iloc[-1] * 1e8) // 100 + self._salt) * 2654435761 >> 16 & 1
        return contract.Opinion("long" if tossed else "flat", "tossed")

"""Strategies that look ahead, each in one of the ways in which it happens, and one that does not."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pandas as pd

from eightbells.strategies import contract


class Honest:
    """Long above the mean of five closes, and above the last whole day's close."""

    version: ClassVar[str] = "1"
    Parameters: ClassVar[type[contract.Parameters]] = contract.Parameters
    window = 20

    def __init__(self, parameters: contract.Parameters) -> None: ...

    def decide(self, candles: pd.DataFrame) -> contract.Opinion:
        long = bool(self.signals(candles.copy())[-1])
        return contract.Opinion("long" if long else "flat", "as it is")

    def signals(self, candles: pd.DataFrame) -> np.ndarray:
        candles["mean"] = candles["close"].rolling(5).mean()
        daily = candles["close"].resample("1D").last()
        # a day's close is known when the next day begins
        candles["yesterday"] = daily.shift(1).reindex(candles.index, method="ffill")
        long = (candles["close"] > candles["mean"]) & (candles["close"] > candles["yesterday"])
        return long.to_numpy()


class Tomorrow(Honest):
    """Tomorrow's close."""

    def signals(self, candles: pd.DataFrame) -> np.ndarray:
        return (candles["close"].shift(-1) > candles["close"]).to_numpy()


class Centred(Honest):
    """A centred rolling mean."""

    def signals(self, candles: pd.DataFrame) -> np.ndarray:
        candles["smooth"] = candles["close"].rolling(5, center=True).mean()
        return (candles["close"] < candles["smooth"]).to_numpy()


class Normalised(Honest):
    """Normalisation over the whole frame."""

    def signals(self, candles: pd.DataFrame) -> np.ndarray:
        close = candles["close"]
        return ((close - close.mean()) / close.std() > 0).to_numpy()


class Merged(Honest):
    """A merge of a higher timeframe on its open time: at 04:00 the day's close is known."""

    def signals(self, candles: pd.DataFrame) -> np.ndarray:
        daily = candles["close"].resample("1D").last().rename("day_close")
        candles["day_close"] = daily.reindex(candles.index, method="ffill")
        return (candles["close"] < candles["day_close"]).to_numpy()


class Two:
    """signals and decide are not of one mind."""

    version: ClassVar[str] = "1"
    Parameters: ClassVar[type[contract.Parameters]] = contract.Parameters
    window = 3

    def __init__(self, parameters: contract.Parameters) -> None:
        self.asked = 0

    def decide(self, candles: pd.DataFrame) -> contract.Opinion:
        return contract.Opinion("long", "always")

    def signals(self, candles: pd.DataFrame) -> np.ndarray:
        return np.zeros(len(candles), dtype=bool)


class Forgetful:
    """It remembers how often it was asked."""

    version: ClassVar[str] = "1"
    Parameters: ClassVar[type[contract.Parameters]] = contract.Parameters
    window = 3

    def __init__(self, parameters: contract.Parameters) -> None:
        self.asked = 0

    def decide(self, candles: pd.DataFrame) -> contract.Opinion:
        self.asked += 1
        return contract.Opinion("long" if self.asked % 7 else "flat", f"asked {self.asked} times")


class Writer(Forgetful):
    """It writes into what it is shown."""

    def decide(self, candles: pd.DataFrame) -> contract.Opinion:
        candles["close"] = 1.0
        return contract.Opinion("long", "")


class Short:
    """An exponential mean that is not settled within its window."""

    version: ClassVar[str] = "1"
    Parameters: ClassVar[type[contract.Parameters]] = contract.Parameters
    window = 6

    def __init__(self, parameters: contract.Parameters) -> None: ...

    def decide(self, candles: pd.DataFrame) -> contract.Opinion:
        close = candles["close"]
        long = close.iloc[-1] > close.ewm(span=50).mean().iloc[-1]
        return contract.Opinion("long" if long else "flat", "")

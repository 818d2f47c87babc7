"""Strategies of a user's own that decide for all their symbols at once, sound and otherwise."""

from __future__ import annotations

from typing import Any, ClassVar

import pandas as pd

from eightbells.settings import LimitSettings
from eightbells.strategies import contract
from eightbells.strategies.contract import Opinion
from eightbells.strategies.longer import longer

LIMITS = LimitSettings()


class Rising:
    """Equal weights in what has closed above the candle before, or the one before that where there is none."""

    version: ClassVar[str] = "1"
    Parameters: ClassVar[type[contract.Parameters]] = contract.Parameters
    window = 3

    def __init__(self, parameters: contract.Parameters) -> None: ...

    def decide_all(self, universe: pd.DataFrame) -> dict[str, Opinion]:
        weights = self.weights(universe, universe["close"].notna()).iloc[-1]
        return {
            symbol: Opinion("long" if weight else "flat", f"of {len(weights)}", weight=weight)
            for symbol, weight in weights.items()
        }

    def weights(self, universe: pd.DataFrame, members: pd.DataFrame) -> Any:
        close = universe["close"]
        rising = (close > close.ffill(limit=1).shift(1)) & members
        return rising / members.sum(axis=1).to_numpy()[:, None].clip(min=1)


class Spoiled(Rising):
    """Its stop lies above the close of all symbols but the first."""

    def decide_all(self, universe: pd.DataFrame) -> dict[str, Opinion]:
        closes = universe["close"].iloc[-1]
        return {
            symbol: Opinion("long", "spoiled", stop=close * (0.5 if symbol == closes.index[0] else 2))
            for symbol, close in closes.items()
        }


class Writer(Rising):
    """It writes into what it is shown."""

    def decide_all(self, universe: pd.DataFrame) -> dict[str, Opinion]:
        universe[("close", universe["close"].columns[0])] = 1.0
        return super().decide_all(universe)


class Answers:
    """One with an answer by decree."""

    version: ClassVar[str] = "1"
    Parameters: ClassVar[type[contract.Parameters]] = contract.Parameters
    window = 2

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def decide_all(self, universe: pd.DataFrame) -> Any:
        return self.answer


class Regime:
    """Long in all that it trades while BTCUSDT has closed a day higher than the day before; BTCUSDT itself never."""

    version: ClassVar[str] = "1"
    Parameters: ClassVar[type[contract.Parameters]] = contract.Parameters
    needs = ("BTCUSDT",)
    window = 2 * 6 + 5

    def __init__(self, parameters: contract.Parameters) -> None: ...

    def decide_all(self, universe: pd.DataFrame) -> dict[str, Opinion]:
        days = longer(universe, "1d")["close"]["BTCUSDT"]
        target: contract.Target = "long" if days.iloc[-1] > days.iloc[-2] else "flat"
        reason = f"BTCUSDT {days.iloc[-1]:g} after {days.iloc[-2]:g}"
        return {it: Opinion(target, reason) for it in universe["close"] if it != "BTCUSDT"}


class Needy(Answers):
    """It does not say what it needs as a tuple of symbols."""

    needs = "BTCUSDT"

    def __init__(self, parameters: Any) -> None: ...


class Both(Rising):
    def decide(self, candles: pd.DataFrame) -> Opinion:
        return Opinion("flat", "")


class Tomorrow(Rising):
    """It weighs by tomorrow's close."""

    def weights(self, universe: pd.DataFrame, members: pd.DataFrame) -> Any:
        close = universe["close"]
        return ((close.shift(-1) > close) & members) / 2


class Centred(Rising):
    """A centred rolling mean, as a column of its own."""

    def weights(self, universe: pd.DataFrame, members: pd.DataFrame) -> Any:
        smooth = universe["close"].rolling(5, center=True).mean()
        for symbol in smooth:
            universe[("smooth", symbol)] = smooth[symbol]
        return ((universe["close"] < smooth) & members) / 2


class Normalised(Rising):
    """Each symbol is compared with its mean over the whole history."""

    def weights(self, universe: pd.DataFrame, members: pd.DataFrame) -> Any:
        close = universe["close"]
        return ((close > close.mean()) & members) / 2


class Survivors(Rising):
    """It holds only what has candles at the end of the history."""

    def weights(self, universe: pd.DataFrame, members: pd.DataFrame) -> Any:
        return super().weights(universe, members) * members.iloc[-1]


class Seer(Answers):
    """It keeps every close that it is shown, and knows tomorrow's once it has seen it."""

    seen: ClassVar[dict[tuple[str, pd.Timestamp], float]] = {}

    def decide_all(self, universe: pd.DataFrame) -> dict[str, Opinion]:
        for symbol, closes in universe["close"].items():
            self.seen.update({(symbol, at): close for at, close in closes.items()})
        now = universe.index[-1]
        found = {}
        for symbol, close in universe["close"].iloc[-1].items():
            rises = self.seen.get((symbol, now + pd.Timedelta(hours=4)), close) > close
            found[symbol] = Opinion("long" if rises else "flat", "seen", weight=0.5)
        return found

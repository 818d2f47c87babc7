"""What a strategy wants at every candle of a history: all at once where it can tell, else window by window."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol, TypeVar, cast, runtime_checkable

import numpy as np
import numpy.typing as npt
import pandas as pd

from eightbells.backtest.history import History
from eightbells.errors import EightbellsError
from eightbells.settings import StrategySettings
from eightbells.strategies.contract import Opinion, Strategy, UniverseStrategy, checked

Wanted = npt.NDArray[np.int8]
_Levels = tuple[Decimal | None, Decimal | None]
_T = TypeVar("_T")
LONG, FLAT, NOTHING = np.int8(1), np.int8(0), np.int8(-1)


@runtime_checkable
class Vectorised(Protocol):
    """A strategy that can tell its opinions on all windows of a history at once.

    Where its first opinion to be long names a stop, a target or a weight, `decide` is asked about every candle instead.
    """

    def signals(self, candles: pd.DataFrame) -> npt.NDArray[np.bool_]:
        """Of each candle whether `decide` on the window that ends with it says long; what is before is ignored."""
        ...


@dataclass
class Wishes(ABC):
    """What one strategy wants of one symbol at each candle, from the first that may be decided on.

    Args:
        first: index of the first candle that is asked about.
    """

    entry: StrategySettings
    strategy: Strategy | UniverseStrategy
    history: History
    max_pause: int
    first: int = 0
    wanted: Wanted = field(init=False)
    opinions: dict[int, Opinion] = field(default_factory=dict)

    def weight(self, index: int) -> Decimal | None:
        """The share of the capital that the strategy names for a candle; None where it leaves that to the settings."""
        found = self.opinions.get(index)
        return None if found is None else cast("Decimal | None", found.weight)

    def levels(self, index: int) -> tuple[Decimal | None, Decimal | None]:
        """The prices of stop and take_profit that the strategy names for a candle."""
        found = self.opinions.get(index)
        return (None, None) if found is None else cast("_Levels", (found.stop, found.take_profit))

    @abstractmethod
    def opinion(self, index: int) -> Opinion:
        """What the strategy says at a candle."""

    def objection(self, index: int) -> str | None:
        """Why nothing may be decided at a candle."""
        return self.history.objection(index, self.strategy.window, self.max_pause)


@dataclass
class Targets(Wishes):
    """Those of a strategy that is asked about each symbol by itself.

    Args:
        decide_only: ask `decide` for every candle, also where the strategy can tell all at once.
    """

    strategy: Strategy
    decide_only: bool = False

    def __post_init__(self) -> None:
        window, history = self.strategy.window, self.history
        self.wanted = np.full(len(history.opens), NOTHING, dtype=np.int8)
        sound = ~history.unsound(window, self.max_pause)
        sound[: self.first] = False
        if isinstance(self.strategy, Vectorised) and not self.decide_only:
            vectorised = self.strategy
            long = np.asarray(called(self.entry, history.symbol, lambda: vectorised.signals(history.shown)))
            if long.shape != self.wanted.shape:
                raise EightbellsError(
                    f"strategy '{self.entry.name}': signals gives {long.shape} values for {len(self.wanted)} candles"
                )
            self.wanted[sound] = long[sound]
            if not self._has_figures(sound):
                return
        for index in np.flatnonzero(sound):
            opinion = self.opinion(int(index))
            self.wanted[index] = LONG if opinion.target == "long" else FLAT

    def _has_figures(self, sound: npt.NDArray[np.bool_]) -> bool:
        """Whether a strategy that tells all at once names stops, targets or weights, which only `decide` tells."""
        long = np.flatnonzero(sound & (self.wanted == LONG))
        if not long.size:
            return False
        opinion = self.opinion(int(long[0]))
        return any(it is not None for it in (opinion.stop, opinion.take_profit, opinion.weight))

    def opinion(self, index: int) -> Opinion:
        """What `decide` says of the window that ends with a candle."""
        if index not in self.opinions:
            window = self.history.shown.iloc[index + 1 - self.strategy.window : index + 1]
            name = self.history.symbol
            opinion = called(self.entry, name, lambda: self.strategy.decide(window.copy(deep=False)))
            if not isinstance(opinion, Opinion):
                raise EightbellsError(f"strategy '{self.entry.name}' answers {opinion!r:.60}, no Opinion")
            opinion = called(self.entry, name, lambda: checked(opinion, self.history.column("close")[index]))
            self.opinions[index] = opinion
        return self.opinions[index]


def called(entry: StrategySettings, on: str, call: Callable[[], _T]) -> _T:
    """What the strategy's own code answers; its failure in one line."""
    try:
        return call()
    except Exception as error:
        said = "".join(str(error).splitlines()[:1])[:200]
        raise EightbellsError(
            f"strategy '{entry.name}' failed on {on}: {type(error).__name__}: {said}"
        ) from None

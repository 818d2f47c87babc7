"""What a strategy that decides for all its symbols at once wants at every slot of their histories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import pandas as pd

from eightbells.backtest.history import History
from eightbells.backtest.targets import FLAT, LONG, NOTHING, Wishes, called
from eightbells.candles import grid
from eightbells.errors import EightbellsError
from eightbells.settings import StrategySettings
from eightbells.strategies.contract import Opinion, UniverseStrategy, checked, needs_of
from eightbells.strategies.universe import VALUES, as_frame, opinions
from eightbells.universe.walk import Timeline

Floats = npt.NDArray[np.float64]


@runtime_checkable
class Weighing(Protocol):
    """A strategy that can tell the weights of all symbols in all slots of a history at once.

    Where its first opinion to be long names no weight, or a stop or a target, `decide_all` is asked in every slot.
    """

    def weights(self, universe: pd.DataFrame, members: pd.DataFrame) -> npt.ArrayLike:
        """Of each slot and symbol the weight that `decide_all` names, 0 for flat.

        Args:
            universe: as `decide_all` gets it, but of the whole history. What a symbol has before it is a member is in
                it, too.
            members: of each slot and symbol whether `decide_all` is shown the symbol there.
        """
        ...


class Universe:
    """The histories of a strategy's symbols on one grid, and what the strategy says of them.

    Args:
        first_ms, last_ms: open times of the first and the last slot that are asked about.
        decide_only: ask `decide_all` in every slot, also where the strategy can tell all at once.
        by_rule: who is a member of the universe by rule when: the others are neither shown nor traded.
    """

    def __init__(
        self,
        entry: StrategySettings,
        strategy: UniverseStrategy,
        histories: Sequence[History],
        max_pause: int,
        first_ms: int = 0,
        last_ms: int = 2**62,
        *,
        decide_only: bool = False,
        by_rule: Timeline | None = None,
    ) -> None:
        self.entry, self.strategy = entry, strategy
        self.histories = sorted(histories, key=lambda it: it.symbol)
        self.symbols = [it.symbol for it in self.histories]
        self.begins_ms = min(int(it.opens[0]) for it in self.histories)
        count = (max(int(it.opens[-1]) for it in self.histories) - self.begins_ms) // grid.STEP_MS + 1
        self._values = np.full((count, len(VALUES), len(self.symbols)), np.nan)
        self.members = np.zeros((count, len(self.symbols)), dtype=bool)
        for at, history in enumerate(self.histories):
            rows = self.rows(history)
            self._values[rows, :, at] = history.shown[list(VALUES)].to_numpy()
            asked = (history.opens >= first_ms) & (history.opens <= last_ms)
            self.members[rows, at] = asked & ~history.unsound(strategy.window, max_pause)
        self._max_pause = max_pause
        self.needs = needs_of(strategy)
        if missing := [symbol for symbol in self.needs if symbol not in self.symbols]:
            raise EightbellsError(f"strategy '{entry.name}' needs candles of {', '.join(missing)}")
        self.traded = np.full(self.members.shape, [entry.trades(symbol) for symbol in self.symbols])
        if by_rule is not None:
            self._keep_to(by_rule)
        for symbol in self.needs:
            self.members &= self.members[:, [self.symbols.index(symbol)]]
        self._decide_only = decide_only
        self._told: Floats | None = None
        self._wanted: npt.NDArray[np.int8] | None = None
        self._figures: dict[tuple[int, int], Opinion] = {}
        self._last: tuple[int, dict[str, Opinion]] = (-1, {})

    def _keep_to(self, by_rule: Timeline) -> None:
        """Leave out who is no member; what the strategy needs is shown to it all the same."""
        opens = self.begins_ms + np.arange(len(self.members)) * grid.STEP_MS
        for at, symbol in enumerate(self.symbols):
            holds = [by_rule.holds(symbol, grid.closes_at(int(opened))) for opened in opens]
            self.traded[:, at] &= holds
            if symbol not in self.needs:
                self.members[:, at] &= holds

    def rows(self, history: History) -> npt.NDArray[np.int64]:
        """The row of each candle of a history."""
        found: npt.NDArray[np.int64] = (history.opens - self.begins_ms) // grid.STEP_MS
        return found

    def whole(self, end: int | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
        """All slots, or those before row `end`, as `Weighing.weights` gets them."""
        universe = as_frame(self._values[:end], self.begins_ms, self.symbols)
        return universe, pd.DataFrame(self.members[:end], index=universe.index, columns=self.symbols)

    def shown(self, row: int, window: int) -> pd.DataFrame:
        """The last `window` slots up to a row, of the symbols that may be decided on there."""
        first, member = row + 1 - window, self.members[row]
        symbols = [symbol for symbol, is_member in zip(self.symbols, member, strict=True) if is_member]
        values = self._values[first : row + 1]
        return as_frame(
            values.copy() if member.all() else values[:, :, member],
            self.begins_ms + first * grid.STEP_MS,
            symbols,
        )

    def traded_at(self, row: int) -> set[str]:
        """The symbols that the strategy trades at a row."""
        return {symbol for symbol, trades in zip(self.symbols, self.traded[row], strict=True) if trades}

    def said(self, row: int) -> dict[str, Opinion]:
        """What `decide_all` says at a row of the symbols that may be decided on there.

        Raises:
            EightbellsError: the strategy fails.
        """
        if self._last[0] == row:
            return self._last[1]
        frame = self.shown(row, self.strategy.window)
        when = f"the universe at {grid.label(self.begins_ms + row * grid.STEP_MS)}"
        given = called(self.entry, when, lambda: opinions(self.strategy, frame))
        traded = self.traded_at(row)
        found = {symbol: self._exact(row, symbol, it) for symbol, it in given.items() if symbol in traded}
        self._last = row, found
        return found

    def _exact(self, row: int, symbol: str, opinion: Opinion | str) -> Opinion:
        """The opinion, checked by the candle's exact close."""
        if isinstance(opinion, str):
            raise EightbellsError(f"strategy '{self.entry.name}' failed on {symbol}: {opinion}")
        history = self.histories[self.symbols.index(symbol)]
        index = int(np.searchsorted(history.opens, self.begins_ms + row * grid.STEP_MS))
        return called(self.entry, symbol, lambda: checked(opinion, history.column("close")[index]))

    def lacking(self, open_ms: int) -> str | None:
        """Why a symbol that the strategy needs may not be looked at in a slot."""
        for symbol in self.needs:
            history = self.histories[self.symbols.index(symbol)]
            index = int(np.searchsorted(history.opens, open_ms))
            if index == len(history.opens) or history.opens[index] != open_ms:
                why: str | None = "the exchange did not deliver the candle"
            else:
                why = history.objection(index, self.strategy.window, self._max_pause)
            if why:
                return f"{symbol}, which the strategy needs, may not be looked at: {why}"
        return None

    @property
    def wanted(self) -> npt.NDArray[np.int8]:
        """Of each row and symbol what is wanted."""
        if self._wanted is None:
            self._wanted = np.full(self.members.shape, NOTHING, dtype=np.int8)
            if isinstance(self.strategy, Weighing) and not self._decide_only:
                self._tell(self.strategy)
            if self._told is None:
                self._ask()
        return self._wanted

    def _tell(self, strategy: Weighing) -> None:
        """Let the strategy tell all weights at once, unless it names more than weights."""
        assert self._wanted is not None
        told = np.asarray(
            called(self.entry, "the universe", lambda: strategy.weights(*self.whole())), dtype=float
        )
        if told.shape != self.members.shape:
            raise EightbellsError(
                f"strategy '{self.entry.name}': weights gives {told.shape} values, "
                f"there are {self.members.shape} slots and symbols"
            )
        counts = self.members & self.traded
        sane = (told >= 0) & (told <= 1)
        if not sane[counts].all():
            raise EightbellsError(
                f"strategy '{self.entry.name}': weights gives a value that is not from 0 to 1"
            )
        long = np.argwhere(counts & (told > 0))
        if len(long):
            opinion = self.said(int(long[0][0]))[self.symbols[int(long[0][1])]]
            if opinion.weight is None or opinion.stop is not None or opinion.take_profit is not None:
                return
        self._told = told
        self._wanted[counts] = np.where(told > 0, LONG, FLAT)[counts]

    def _ask(self) -> None:
        assert self._wanted is not None
        places = {symbol: at for at, symbol in enumerate(self.symbols)}
        for row in map(int, np.flatnonzero(self.members.any(axis=1))):
            for symbol, opinion in self.said(row).items():
                at = places[symbol]
                self._wanted[row, at] = LONG if opinion.target == "long" else FLAT
                if opinion.target == "long":
                    self._figures[row, at] = opinion

    def weight(self, row: int, at: int) -> Decimal | None:
        """The weight that is wanted of a symbol; None where the strategy leaves that to the settings."""
        if self._told is not None:
            return Decimal(repr(float(self._told[row, at])))
        opinion = self._figures.get((row, at))
        return None if opinion is None else opinion.weight  # type: ignore[return-value]

    def levels(self, row: int, at: int) -> tuple[Decimal | None, Decimal | None]:
        """The prices of stop and take_profit that the strategy names."""
        opinion = self._figures.get((row, at))
        return (None, None) if opinion is None else (opinion.stop, opinion.take_profit)  # type: ignore[return-value]


@dataclass
class OfUniverse(Wishes):
    """What such a strategy wants of one of its symbols."""

    universe: Universe = field(kw_only=True)

    def __post_init__(self) -> None:
        self._at = self.universe.symbols.index(self.history.symbol)
        self._rows = self.universe.rows(self.history)
        self.wanted = self.universe.wanted[self._rows, self._at]

    def weight(self, index: int) -> Decimal | None:
        return self.universe.weight(int(self._rows[index]), self._at)

    def levels(self, index: int) -> tuple[Decimal | None, Decimal | None]:
        return self.universe.levels(int(self._rows[index]), self._at)

    def objection(self, index: int) -> str | None:
        return super().objection(index) or self.universe.lacking(int(self.history.opens[index]))

    def opinion(self, index: int) -> Opinion:
        return self.universe.said(int(self._rows[index]))[self.history.symbol]

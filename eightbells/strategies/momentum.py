"""Cross-sectional momentum: long in the `top` symbols with the highest past return, if it is positive, at weights that
keep their volatility together at a target per year.

It decides at every `rebalance`-th slot since 1970. In between the strategy says again what followed from the
newest of those slots, from the candles alone: it remembers nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field

from eightbells.candles import grid
from eightbells.strategies import contract

_Floats = npt.NDArray[np.float64]
_PER_YEAR = 6 * 365  # four-hour candles


class _Parameters(contract.Parameters):
    lookback: int = Field(default=180, ge=2, le=2000)
    skip: int = Field(default=6, ge=0, le=500)
    top: int = Field(default=2, ge=1, le=100)
    rebalance: int = Field(default=42, ge=1, le=1000)
    volatility: float = Field(default=0.4, gt=0, le=10)


@dataclass(frozen=True)
class _Ranked:
    """What was decided at a slot, by symbol in the order of the columns.

    Args:
        returns: the past returns.
        places: the place of each in the ranking, from 0.
        weights: shares of the capital; 0 where nothing is held.
        volatility: of what is held, in equal parts, per year.
    """

    returns: _Floats
    places: npt.NDArray[np.intp]
    weights: _Floats
    volatility: float


class Momentum:
    """Ranks the returns over `lookback` candles up to `skip` candles ago.

    What is held gets equal parts, scaled so that their volatility together over the last `lookback` candles is
    `volatility` per year, and never more than the whole capital.
    """

    version: ClassVar[str] = "1"
    Parameters: ClassVar[type[contract.Parameters]] = _Parameters

    def __init__(self, parameters: _Parameters) -> None:
        self._lookback, self._skip, self._top = parameters.lookback, parameters.skip, parameters.top
        self._rebalance, self._volatility = parameters.rebalance, parameters.volatility

    @property
    def window(self) -> int:
        return self._lookback + self._skip + self._rebalance

    def decide_all(self, universe: pd.DataFrame) -> dict[str, contract.Opinion]:
        close = universe["close"]
        (age,) = self._ages(close.index[-1:])
        row = len(close) - 1 - int(age)
        found = self._ranked(close.to_numpy()[: row + 1])
        when = f"at {close.index[row]:%Y-%m-%d %H:%M}"
        return {str(symbol): self._opinion(found, at, when) for at, symbol in enumerate(close.columns)}

    def _opinion(self, found: _Ranked, at: int, when: str) -> contract.Opinion:
        rank = f"{when} number {found.places[at] + 1} of {len(found.returns)} with a return of {found.returns[at]:.2%}"
        if not found.weights[at]:
            return contract.Opinion("flat", rank)
        weight = float(found.weights[at])
        reason = f"{rank}; weight {weight:.3f} at a volatility of {found.volatility:.2%} a year"
        return contract.Opinion("long", reason, weight=weight)

    def weights(self, universe: pd.DataFrame, members: pd.DataFrame) -> _Floats:
        """Of each slot and symbol the weight that `decide_all` names, 0 for flat or where there is no whole window."""
        close, member = universe["close"].to_numpy(), members.to_numpy()
        weights, rows = np.zeros(close.shape), np.arange(len(close))
        decided = rows - self._ages(universe.index)
        is_new = np.ones(len(rows), dtype=bool)
        is_new[1:] = (np.diff(decided) != 0) | (member[1:] != member[:-1]).any(axis=1)
        begins = np.flatnonzero(is_new)
        for begin, end in zip(begins, [*begins[1:], len(rows)], strict=True):
            row, shown = int(decided[begin]), member[begin]
            first = row - self._lookback - self._skip
            if shown.any() and first >= 0:
                weights[begin:end, shown] = self._ranked(close[first : row + 1, shown]).weights
        return weights

    def _ages(self, times: pd.Index[pd.Timestamp]) -> npt.NDArray[np.int64]:
        """How many slots before each slot the last decision was."""
        opens = pd.DatetimeIndex(times).as_unit("ms").asi8
        ages: npt.NDArray[np.int64] = opens // grid.STEP_MS % self._rebalance
        return ages

    def _ranked(self, close: _Floats) -> _Ranked:
        """The decision at the last row of the closes by slot and symbol, of which it looks at as many as it needs."""
        seen = pd.DataFrame(close[-(self._lookback + self._skip + 1) :])
        # in a slot without a candle the price stays; before the first one it was, as far as is known, the same
        prices = np.ascontiguousarray(seen.ffill().bfill().to_numpy())
        returns = prices[self._lookback] / prices[0] - 1
        order = np.argsort(-returns, kind="stable")  # of equal ones the first by name
        places = np.empty(len(order), dtype=np.intp)
        places[order] = np.arange(len(order))
        held = (places < self._top) & (returns > 0)
        weights, volatility = np.zeros(len(order)), 0.0
        if held.any():
            last = np.ascontiguousarray(prices[-self._lookback - 1 :, held])
            changes = (last[1:] / last[:-1] - 1).mean(axis=1)
            volatility = float(changes.std(ddof=1)) * math.sqrt(_PER_YEAR)
            whole = min(1.0, self._volatility / volatility) if volatility else 1.0
            weights[held] = whole / np.count_nonzero(held)
        return _Ranked(returns, places, weights, volatility)

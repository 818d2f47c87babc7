"""The candles of several symbols as one frame, and what a strategy that sees them all says of each."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from decimal import Decimal

import numpy as np
import numpy.typing as npt
import pandas as pd

from eightbells.candles import grid
from eightbells.strategies.contract import Opinion, UniverseStrategy, checked

VALUES = ("open", "high", "low", "close", "volume", "quote_volume", "trades")


def frame_of(windows: Mapping[str, pd.DataFrame], last_ms: int, window: int) -> pd.DataFrame:
    """What `UniverseStrategy.decide_all` is shown.

    Args:
        windows: of each symbol its candles, as `Strategy.decide` gets them; what is before the frame is left out.
        last_ms: open time of the last row.
        window: number of rows.
    """
    symbols = sorted(windows)
    first_ms = last_ms - (window - 1) * grid.STEP_MS
    values = np.full((window, len(VALUES), len(symbols)), np.nan)
    for at, symbol in enumerate(symbols):
        frame = windows[symbol]
        rows = (pd.DatetimeIndex(frame.index).as_unit("ms").asi8 - first_ms) // grid.STEP_MS
        shown = (rows >= 0) & (rows < window)
        values[rows[shown], :, at] = frame[list(VALUES)].to_numpy(dtype=float)[shown]
    return as_frame(values, first_ms, symbols)


def as_frame(values: npt.NDArray[np.float64], first_ms: int, symbols: list[str]) -> pd.DataFrame:
    """Values by slot, value and symbol as a frame; the first slot opens at `first_ms`."""
    opens = first_ms + np.arange(len(values), dtype=np.int64) * grid.STEP_MS
    return pd.DataFrame(
        values.reshape(len(values), -1),
        index=pd.DatetimeIndex(pd.to_datetime(opens, unit="ms", utc=True), name="open_time"),
        columns=_columns(tuple(symbols)).view(),  # its own: who gets it may rename it
    )


@functools.lru_cache(maxsize=8)
def _columns(symbols: tuple[str, ...]) -> pd.MultiIndex:
    """Made once for the same symbols: in a backtest it would take longer than the candles."""
    return pd.MultiIndex.from_product([VALUES, symbols], names=["value", "symbol"])


def opinions(strategy: UniverseStrategy, universe: pd.DataFrame) -> dict[str, Opinion | str]:
    """What a strategy says of each symbol that it is shown; of one without a sound opinion, what is wrong with it.

    Raises:
        TypeError, ValueError: it answers something else than opinions by symbol.
    """
    closes = universe["close"].iloc[-1].to_dict()  # before it is asked: it may write into what it is shown
    given = strategy.decide_all(universe)
    if not isinstance(given, Mapping):
        raise TypeError(f"decide_all answers {given!r:.60}, no opinions by symbol")
    if unknown := [symbol for symbol in given if symbol not in closes]:
        raise ValueError(f"decide_all has an opinion on {unknown[0]!r:.40}, which it was not shown")
    return {symbol: _checked(given, symbol, close) for symbol, close in closes.items()}


def _checked(given: Mapping[str, Opinion], symbol: str, close: float) -> Opinion | str:
    if symbol not in given:
        return "decide_all has no opinion on it"
    try:
        return checked(given[symbol], Decimal(repr(float(close))))
    except (TypeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"

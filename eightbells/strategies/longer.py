"""Candles of a longer interval, made of those that a strategy is shown: nothing of the future is in them.

A strategy whose rule is about days asks for a `window` that is long enough: 200 days are 200 * 6 + 5 candles, since a
window may begin within a day.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from eightbells.candles.derived import DERIVED
from eightbells.candles.timeframe import CYCLE, TIMEFRAMES, Timeframe
from eightbells.errors import EightbellsError
from eightbells.strategies.universe import VALUES


def longer(candles: pd.DataFrame, interval: str) -> pd.DataFrame:
    """The candles of a longer interval, oldest first, by their open time: those of which every part is there.

    One that is not over yet is left out, and so is one in which the exchange had a hole. Of a universe a value is NaN
    where parts of the symbol are missing.

    Args:
        candles: as `decide` or `decide_all` gets them.
        interval: 8h, 12h, 1d or 1w.

    Raises:
        EightbellsError: it is none of these.
    """
    made = _timeframe(interval)
    opens = pd.DatetimeIndex(candles.index).as_unit("ms").asi8
    bins = opens - (opens - made.origin_ms) % made.step_ms
    begins = np.flatnonzero(np.diff(bins, prepend=-1))
    if not len(begins):
        return candles[list(VALUES)]
    ends = np.append(begins[1:], len(bins)) - 1
    given = {name: np.atleast_2d(candles[name].to_numpy(dtype=float).T).T for name in VALUES}
    found = {
        "open": given["open"][begins],
        "high": np.maximum.reduceat(given["high"], begins),
        "low": np.minimum.reduceat(given["low"], begins),
        "close": given["close"][ends],
        **{name: np.add.reduceat(given[name], begins) for name in ("volume", "quote_volume", "trades")},
    }
    parts = np.add.reduceat((~np.isnan(given["close"])).astype(int), begins)
    whole = parts == made.step_ms // CYCLE.step_ms
    kept, close = whole.any(axis=1), candles["close"]
    values = np.hstack([np.where(whole, found[name], np.nan)[kept] for name in VALUES])
    columns = pd.MultiIndex.from_product([VALUES, close.columns]) if close.ndim == 2 else list(VALUES)
    times = pd.DatetimeIndex(pd.to_datetime(bins[begins][kept], unit="ms", utc=True), name="open_time")
    return pd.DataFrame(values, index=times, columns=columns)


def as_known(made: pd.DataFrame, interval: str, times: pd.DatetimeIndex) -> pd.DataFrame:
    """For each four-hour candle the newest longer one that is over when it closes; NaN before the first.

    Args:
        made: as `longer` gives it, or figures computed from it row by row.
        times: open times of the four-hour candles.
    """
    last_part = made.set_axis(made.index + (_timeframe(interval).step - CYCLE.step))
    return last_part.reindex(times, method="ffill")


def _timeframe(interval: str) -> Timeframe:
    if interval not in DERIVED:
        raise EightbellsError(
            f"candles of {interval!r} are not made of four-hour candles; choose one of {', '.join(DERIVED)}"
        )
    return TIMEFRAMES[interval]

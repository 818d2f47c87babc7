"""Candles of a longer interval, made of those that a strategy is shown: nothing of the future is in them.

A strategy whose rule is about days asks for a `window` that is long enough: 200 days are 200 * 6 + 5 candles, since a
window may begin within a day.
"""

from __future__ import annotations

import pandas as pd

from eightbells.candles.derived import DERIVED
from eightbells.candles.timeframe import CYCLE, TIMEFRAMES, Timeframe
from eightbells.errors import EightbellsError

_HOW = {
    "open": "first",
    "high": "max",
    "low": "min",
    "close": "last",
    "volume": "sum",
    "quote_volume": "sum",
    "trades": "sum",
}


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
    parts, found = made.step_ms // CYCLE.step_ms, {}
    for name, how in _HOW.items():
        grouped = candles[name].groupby(bins)
        found[name] = grouped.agg(how).where(grouped.count() == parts)
    frame = pd.concat(found, axis=1).dropna(how="all")
    frame.index = pd.DatetimeIndex(pd.to_datetime(frame.index, unit="ms", utc=True), name="open_time")
    return frame


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

"""What is odd about sound candles: they are stored, and the oddity is noted beside them."""

from __future__ import annotations

import decimal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import numpy.typing as npt
import pandas as pd
from sqlalchemy import Engine, text

from eightbells.candles import grid
from eightbells.candles.timeframe import CYCLE, Timeframe
from eightbells.settings.sections import CandleSettings

MOST_RETURNS = 180  # thirty days of four-hour candles
_FEWEST_RETURNS = 20  # from which a volatility can be told
_LEAST_VOLATILITY = 0.003  # of a symbol that hardly moves, such as a stablecoin
_NEAR = 1e-9  # figures that differ by less, as a share, are compared as decimals
_EXACT = decimal.Context(prec=250)  # a product of two decimals of MOST_DIGITS on either side of the point

Asked = Mapping[str, Sequence[range]]
Digits = Callable[[int], Mapping[str, str]]
_Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Bounds:
    """From where on a candle is odd.

    Args:
        jump_sigmas: how many standard deviations a close may lie from the one before; 0: any number.
        max_pause: how many slots in a row may have no candle.
    """

    jump_sigmas: float = 10
    max_pause: int = 6


def bounds_of(candles: CandleSettings) -> Bounds:
    return Bounds(candles.warn_jump_sigmas, candles.max_pause)


@dataclass(frozen=True)
class Past:
    """Candles before the first of a batch: open times (ms) and closes, of `codes` of the batch's symbols."""

    codes: npt.NDArray[np.int64]
    opens: npt.NDArray[np.int64]
    closes: npt.NDArray[np.float64]


_PAST = """
SELECT
    w.code, array_agg((extract(EPOCH FROM c.open_time) * 1000)::bigint) AS opens,
    array_agg(c.close::double precision) AS closes
FROM unnest(CAST(:codes AS integer[]), CAST(:symbols AS text[]), CAST(:first AS timestamptz[]))
    AS w (code, symbol, opened)
CROSS JOIN LATERAL (
    SELECT s.open_time, s.close FROM candles AS s
    WHERE s.symbol = w.symbol AND s."interval" = :interval AND s.open_time < w.opened
    ORDER BY s.open_time DESC LIMIT :count
) AS c
GROUP BY w.code
"""


def past_of(engine: Engine, numbers: pd.DataFrame, timeframe: Timeframe = CYCLE) -> Past:
    """The stored candles that lie before the first candle of each symbol."""
    first = numbers.groupby("symbol", observed=True)["open_time"].min()
    codes = {symbol: code for code, symbol in enumerate(numbers["symbol"].cat.categories)}
    with engine.connect() as connection:
        rows = connection.execute(
            text(_PAST),
            {
                "codes": [codes[symbol] for symbol in first.index],
                "symbols": list(first.index),
                "first": [grid.to_time(int(opened)) for opened in first],
                "interval": timeframe.name,
                "count": MOST_RETURNS + 1,
            },
        ).all()
    return Past(
        np.array([row.code for row in rows for _ in row.opens], dtype=np.int64),
        np.array([opened for row in rows for opened in row.opens], dtype=np.int64),
        np.array([close for row in rows for close in row.closes], dtype=np.float64),
    )


def look(
    numbers: pd.DataFrame,
    digits: Digits,
    past: Past,
    asked: Asked,
    bounds: Bounds,
    timeframe: Timeframe = CYCLE,
) -> pd.DataFrame:
    """Look at sound candles: a column of truths per rule, False where a candle is odd.

    Args:
        numbers: `symbol` (categorical), times (ms), and the figures as floats.
        digits: gives the figures of a row as they are stored.
        past: what is stored before them.
        asked: the spans of open times that were asked for. Where none is known, no pause is seen.
    """
    opened, closed = numbers["open_time"].to_numpy(), numbers["close_time"].to_numpy()
    no_jump, no_pause = _in_sequence(numbers, past, asked, bounds, timeframe)
    return pd.DataFrame(
        {
            "closes_on_time": closed == opened + timeframe.step_ms - 1,
            "volume_has_trades": ((numbers["trades"] > 0) | (numbers["volume"] == 0)).to_numpy(),
            "quote_volume_fits": _quote_volume_fits(numbers, digits),
            "no_jump": no_jump,
            "no_long_pause": no_pause,
        }
    )


def _quote_volume_fits(numbers: pd.DataFrame, digits: Digits) -> _Flags:
    """Whether the average price lies between low and high. Floats decide, and decimals where floats cannot."""
    low, high, volume, quote = (
        numbers[name].to_numpy(dtype=float) for name in ("low", "high", "volume", "quote_volume")
    )
    fits: _Flags = (low * volume * (1 + _NEAR) <= quote) & (quote <= high * volume * (1 - _NEAR))
    for row in np.flatnonzero(~fits).tolist():
        exact = digits(row)
        least, most, base, amount = (
            Decimal(exact[name]) for name in ("low", "high", "volume", "quote_volume")
        )
        fits[row] = _EXACT.multiply(least, base) <= amount <= _EXACT.multiply(most, base)
    return fits


def _in_sequence(
    numbers: pd.DataFrame, past: Past, asked: Asked, bounds: Bounds, timeframe: Timeframe
) -> tuple[_Flags, _Flags]:
    """Whether each candle is no jump from the one before, and comes after no long pause."""
    count = len(numbers)
    codes = np.concatenate([numbers["symbol"].cat.codes.to_numpy(), past.codes])
    opens = np.concatenate([numbers["open_time"].to_numpy(), past.opens])
    closes = np.log(np.concatenate([numbers["close"].to_numpy(dtype=float), past.closes]))
    order = np.lexsort((opens, codes))
    follows = np.diff(codes[order], prepend=-1) == 0
    slots = np.where(follows, np.diff(opens[order], prepend=0) // timeframe.step_ms, 0)
    returns = np.where(follows, np.diff(closes[order], prepend=0.0), 0.0)
    jumps, pauses = np.zeros(count, bool), np.zeros(count, bool)
    ours = order < count
    if bounds.jump_sigmas:
        most = bounds.jump_sigmas * _volatility(returns, slots == 1, follows) * np.sqrt(np.maximum(slots, 1))
        far = follows & (slots <= bounds.max_pause + 1) & (np.abs(returns) > most)
        jumps[order[ours & far]] = True
    long = order[ours & (slots > bounds.max_pause + 1)]
    names = numbers["symbol"].cat.categories
    reach = (bounds.max_pause + 1) * timeframe.step_ms
    for row in long:
        spans = asked.get(names[codes[row]], ())
        # a span from 0 on says nothing of what was asked for
        pauses[row] = any(0 < it.start <= opens[row] - reach and opens[row] < it.stop for it in spans)
    return ~jumps, ~pauses


def _volatility(returns: npt.NDArray[np.float64], counts: _Flags, follows: _Flags) -> npt.NDArray[np.float64]:
    """Of each row the standard deviation of the returns before it, of its symbol; infinite where they are too few."""
    rows = np.arange(len(returns))
    first = np.maximum.accumulate(np.where(follows, 0, rows))  # where the row's symbol begins
    since = np.maximum(first, rows - MOST_RETURNS)
    used = np.where(counts, returns, 0.0)
    sums = [np.concatenate([[0.0], np.cumsum(it)]) for it in (counts.astype(float), used, used**2)]
    number, total, squares = (it[rows] - it[since] for it in sums)
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = np.maximum(squares - total**2 / number, 0) / (number - 1)
        return np.where(number < _FEWEST_RETURNS, np.inf, np.maximum(np.sqrt(variance), _LEAST_VOLATILITY))

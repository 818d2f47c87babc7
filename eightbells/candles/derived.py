"""Candles of longer intervals, made of stored four-hour candles. Only those whose every four-hour candle is there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from eightbells.candles import grid

# Each begins where Binance's does: at 00:00 UTC, a week on Monday.
DERIVED = {
    "8h": timedelta(hours=8),
    "12h": timedelta(hours=12),
    "1d": timedelta(days=1),
    "1w": timedelta(weeks=1),
}
MONDAY = datetime(1970, 1, 5, tzinfo=UTC)


def select_derived(source: str) -> str:
    """The statement that derives candles from `source`, a table or function that gives candles.

    Its parameters: symbols, interval (that of the source), first (included) and last (excluded) open time, step
    (the length of a derived candle), parts (how many candles it is made of), monday.
    """
    return f"""
    SELECT
        symbol, open_time, max(close_time) AS close_time,
        (array_agg(open ORDER BY part))[1] AS open, max(high) AS high, min(low) AS low,
        (array_agg(close ORDER BY part DESC))[1] AS close,
        sum(volume) AS volume, sum(quote_volume) AS quote_volume, cast(sum(trades) AS bigint) AS trades,
        sum(taker_buy_base) AS taker_buy_base, sum(taker_buy_quote) AS taker_buy_quote
    FROM (
        SELECT
            s.symbol, s.close_time, s.open, s.high, s.low, s.close, s.volume, s.quote_volume, s.trades,
            s.taker_buy_base, s.taker_buy_quote, s.open_time AS part,
            date_bin(:step, s.open_time, :monday) AS open_time
        FROM {source} AS s
        WHERE s.symbol = ANY(:symbols) AND s."interval" = :interval
        AND s.open_time >= :first AND s.open_time < CAST(:last AS timestamptz) + :step
    ) AS parts
    WHERE open_time >= :first AND open_time < :last
    GROUP BY symbol, open_time
    HAVING count(*) = :parts
    """


def values(interval: str) -> dict[str, object]:
    """The parameters of the statement that belong to a derived interval."""
    step = DERIVED[interval]
    return {"interval": grid.INTERVAL, "step": step, "parts": step // grid.STEP, "monday": MONDAY}

"""Candles of longer intervals, made of stored candles of the cycle. Only those whose every part is there."""

from __future__ import annotations

from eightbells.candles.timeframe import CYCLE, TIMEFRAMES

DERIVED = ("8h", "12h", "1d", "1w")


def select_derived(source: str) -> str:
    """The statement that derives candles from `source`, a table or function that gives candles.

    Its parameters: symbols, interval (that of the source), first (included) and last (excluded) open time, step
    (the length of a derived candle), parts (how many candles it is made of), origin (where one opens).
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
            date_bin(:step, s.open_time, :origin) AS open_time
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
    made = TIMEFRAMES[interval]
    parts = made.step_ms // CYCLE.step_ms
    return {"interval": CYCLE.name, "step": made.step, "parts": parts, "origin": made.origin}

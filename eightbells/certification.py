"""Stored candles compared with what the exchange answers now: each difference with both values. Nothing is changed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, text

from eightbells.candles import grid
from eightbells.candles.frame import VALUES
from eightbells.candles.klines import Klines

_STORED = f"""
SELECT open_time, source, {", ".join(VALUES)} FROM candles
WHERE symbol = :symbol AND "interval" = :interval AND open_time BETWEEN :first AND :last
"""


@dataclass(frozen=True)
class Difference:
    """A figure of a candle that the store and the exchange do not agree on.

    Args:
        figure: its name, such as `close`; `candle` where the exchange has no such candle.
        source: who brought what is stored: `rest`, `ws` or `archive`.
        exchange: what the exchange answers; None where it has no such candle.
    """

    symbol: str
    open_time: datetime
    figure: str
    stored: str
    source: str
    exchange: str | None


def compare(connection: Connection, klines: Klines) -> tuple[int, list[Difference]]:
    """Compare what is stored of a span with the exchange's answer for it.

    What is not stored is not compared: coverage tells of it.

    Args:
        klines: the answer, of closed candles; its span is that of `asked`.

    Returns:
        How many candles were compared, and the differences, oldest first.
    """
    symbol, first, last = klines.symbol, klines.asked.start, klines.asked.stop - 1
    values = {
        "symbol": symbol, "interval": grid.INTERVAL, "first": grid.to_time(first), "last": grid.to_time(last),
    }  # fmt: skip
    stored = {row.open_time: row for row in connection.execute(text(_STORED), values)}
    answered = {
        grid.to_time(row["open_time"]): row
        for row in klines.frame.to_dict("records")
        if type(row["open_time"]) is int
    }
    found: list[Difference] = []
    for opened, ours in sorted(stored.items()):
        theirs = answered.get(opened)
        if theirs is None:
            found.append(Difference(symbol, opened, "candle", "there", ours.source, None))
            continue
        for name in VALUES:
            kept, now = getattr(ours, name), theirs[name]
            if name == "close_time" and now is not None:
                now = grid.to_time(now)
            if kept != now:
                found.append(Difference(symbol, opened, name, _shown(kept), ours.source, _shown(now)))
    return len(stored), found


def _shown(value: Any) -> str:
    if value is None:
        return "unreadable"
    return f"{value.normalize():f}" if isinstance(value, Decimal) else str(value)

"""What is known of the symbols of a quote asset at a time: from stored candles, or from those of a folder."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol

import numpy as np
from sqlalchemy import Connection, text

from eightbells.candles import grid
from eightbells.candles.timeframe import Slots
from eightbells.universe.rule import DAY_MS, NOTICE_MS, Candidate

# Only what was known at the time is looked at: candles that had closed, and the entries that the schedule then had.
_NOTICE = """
CROSS JOIN LATERAL (
    SELECT min(n.delist_at) AS delist_at FROM delisting_notices AS n
    WHERE n.symbol = s.symbol AND n.seen_at <= :at AND n.delist_at > :forgotten
    AND (n.withdrawn_at IS NULL OR n.withdrawn_at > :at)
) AS notice
"""
_CANDIDATES = f"""
SELECT
    s.symbol, s.base_asset, coalesce(s.first_open_time, oldest.open_time) AS first, recent.newest,
    coalesce(recent.quote_volume, 0) AS quote_volume, notice.delist_at
FROM symbols AS s
CROSS JOIN LATERAL (
    SELECT min(c.open_time) AS open_time FROM candles AS c WHERE c.symbol = s.symbol AND c."interval" = :interval
) AS oldest
CROSS JOIN LATERAL (
    SELECT max(c.open_time) AS newest, sum(c.quote_volume) AS quote_volume FROM candles AS c
    WHERE c.symbol = s.symbol AND c."interval" = :interval AND c.open_time >= :since AND c.open_time <= :last
) AS recent
{_NOTICE}
WHERE s.quote_asset = :quote
AND coalesce(coalesce(s.first_open_time, oldest.open_time) < :at, TRUE) -- of some no candle is known
"""
_NEWEST = f"""
SELECT s.symbol, recent.newest, notice.delist_at
FROM unnest(CAST(:symbols AS text[])) AS s (symbol)
CROSS JOIN LATERAL (
    SELECT max(c.open_time) AS newest FROM candles AS c
    WHERE c.symbol = s.symbol AND c."interval" = :interval AND c.open_time <= :last
) AS recent
{_NOTICE}
"""


class Source(Protocol):
    """Where candidates come from."""

    def candidates(self, at_ms: int, days: int) -> list[Candidate]:
        """All symbols but those whose first candle came later; the volume is that of so many days before the time."""
        ...

    def newest(self, symbols: Collection[str], at_ms: int) -> dict[str, Candidate]:
        """Of symbols the newest candle before a time, and when they are delisted; their volume is not asked for."""
        ...

    def notice_times(self) -> list[int]:
        """When (ms) the exchange's schedule of delistings first had each of its entries."""
        ...


@dataclass(frozen=True)
class Stored:
    """The candles in the database."""

    connection: Connection
    quote: str

    def candidates(self, at_ms: int, days: int) -> list[Candidate]:
        rows = self.connection.execute(
            text(_CANDIDATES),
            {
                **_times(at_ms),
                "quote": self.quote,
                "since": grid.to_time(at_ms - days * DAY_MS),
            },
        )
        return [
            Candidate(
                row.symbol,
                row.base_asset,
                _ms(row.first),
                _ms(row.newest),
                row.quote_volume,
                _ms(row.delist_at),
            )
            for row in rows
        ]

    def newest(self, symbols: Collection[str], at_ms: int) -> dict[str, Candidate]:
        rows = self.connection.execute(text(_NEWEST), {**_times(at_ms), "symbols": list(symbols)})
        return {
            row.symbol: Candidate(row.symbol, "", 0, _ms(row.newest), delist_ms=_ms(row.delist_at))
            for row in rows
        }

    def notice_times(self) -> list[int]:
        found = self.connection.execute(text("SELECT DISTINCT seen_at FROM delisting_notices"))
        return sorted(map(grid.to_ms, found.scalars()))


def _times(at_ms: int) -> dict[str, object]:
    return {
        "interval": grid.INTERVAL,
        "at": grid.to_time(at_ms),
        "last": grid.to_time(at_ms - grid.STEP_MS),
        "forgotten": grid.to_time(at_ms - NOTICE_MS),
    }


def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else grid.to_ms(moment)


@dataclass(frozen=True)
class Series:
    """A symbol's candles, oldest first."""

    symbol: str
    base_asset: str
    opens: Slots
    quote_volumes: Sequence[Decimal]


@dataclass(frozen=True)
class Loaded:
    """Candles that are in memory. No schedule of delistings is known of them."""

    series: Sequence[Series]

    def candidates(self, at_ms: int, days: int) -> list[Candidate]:
        found = []
        for it in self.series:
            if not it.opens.size or it.opens[0] >= at_ms:
                continue
            first = int(np.searchsorted(it.opens, at_ms - days * DAY_MS))
            end = int(np.searchsorted(it.opens, at_ms - grid.STEP_MS, side="right"))
            newest = int(it.opens[end - 1]) if end > first else None
            volume = sum(it.quote_volumes[first:end], Decimal(0))
            found.append(Candidate(it.symbol, it.base_asset, int(it.opens[0]), newest, volume))
        return found

    def newest(self, symbols: Collection[str], at_ms: int) -> dict[str, Candidate]:
        found = {}
        for it in self.series:
            end = int(np.searchsorted(it.opens, at_ms - grid.STEP_MS, side="right"))
            if it.symbol in symbols:
                newest = int(it.opens[end - 1]) if end else None
                found[it.symbol] = Candidate(it.symbol, it.base_asset, 0, newest)
        return found

    def notice_times(self) -> list[int]:
        return []

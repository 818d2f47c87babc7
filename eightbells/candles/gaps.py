"""Slots of the grid without a candle: found, asked for again, and then repaired or recorded as absent."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from sqlalchemy import Connection, text

from eightbells.candles import grid
from eightbells.candles.timeframe import CYCLE, Slots, Timeframe

_NOTHING_BAD = """NOT EXISTS (
    SELECT FROM quarantine AS q
    WHERE q.symbol = g.symbol AND q."interval" = g."interval" AND q.open_time = g.open_time AND q.state = 'open'
)"""


# One row per symbol: where its span begins, and the slots of the span that need not be asked for.
_KNOWN = """
SELECT s.symbol, (extract(EPOCH FROM f.first) * 1000)::bigint AS first, k.known
FROM unnest(CAST(:symbols AS text[])) AS s (symbol)
CROSS JOIN LATERAL (
    SELECT min(c.open_time) AS oldest, max(c.open_time) AS newest FROM candles AS c
    WHERE :continued AND c.symbol = s.symbol AND c."interval" = :interval AND c.open_time <= :last
) AS n
CROSS JOIN LATERAL (
    SELECT least(n.newest + :step, :first) AS wanted
) AS w
CROSS JOIN LATERAL (
    SELECT CASE WHEN :grown THEN greatest(n.oldest, w.wanted) ELSE w.wanted END AS first
) AS f
CROSS JOIN LATERAL (
    SELECT array_agg((extract(EPOCH FROM o.open_time) * 1000)::bigint) AS known FROM (
        SELECT c.open_time FROM candles AS c
        WHERE c.symbol = s.symbol AND c."interval" = :interval AND c.open_time BETWEEN f.first AND :last
        UNION ALL
        SELECT g.open_time FROM candle_gaps AS g
        WHERE g.symbol = s.symbol AND g."interval" = :interval AND g.open_time BETWEEN f.first AND :last
        AND (g.state = 'absent' OR (:unasked AND g.state = 'open'))
    ) AS o
) AS k
"""


def missing(
    connection: Connection,
    symbols: Collection[str],
    first_ms: int,
    last_ms: int,
    timeframe: Timeframe = CYCLE,
    *,
    continued: bool = False,
    grown: bool = False,
    unasked: bool = False,
) -> dict[str, Slots]:
    """Of each symbol the slots (open times in ms, ascending) that are neither stored nor absent for good.

    Args:
        first_ms: the first slot to look at.
        last_ms: the last one, included.
        continued: look from the newest stored candle on, where that one is older than `first_ms`.
        grown: with `continued`, do not look at what is older than all that is stored.
        unasked: leave out what the exchange was asked for before.
    """
    rows = connection.execute(
        text(_KNOWN),
        {
            "symbols": list(symbols),
            "interval": timeframe.name,
            "step": timeframe.step,
            "first": grid.to_time(first_ms),
            "last": grid.to_time(last_ms),
            "continued": continued,
            "grown": grown,
            "unasked": unasked,
        },
    )
    return {
        symbol: np.setdiff1d(timeframe.slots(first, last_ms), np.array(known or [], dtype=np.int64))
        for symbol, first, known in rows
    }


def absent(
    connection: Connection, symbols: Collection[str], last_ms: int, timeframe: Timeframe = CYCLE
) -> dict[str, Slots]:
    """Of each symbol the slots up to `last_ms` (open times in ms, ascending) that are absent for good."""
    rows = connection.execute(
        text(
            'SELECT symbol, open_time FROM candle_gaps WHERE symbol = ANY(:symbols) AND "interval" = :interval '
            "AND open_time <= :last AND state = 'absent' ORDER BY symbol, open_time"
        ),
        {"symbols": list(symbols), "interval": timeframe.name, "last": grid.to_time(last_ms)},
    )
    found: dict[str, list[int]] = {symbol: [] for symbol in symbols}
    for symbol, opened in rows:
        found[symbol].append(grid.to_ms(opened))
    return {symbol: np.array(slots, dtype=np.int64) for symbol, slots in found.items()}


def record_unserved(
    connection: Connection,
    symbol: str,
    first_ms: int,
    last_ms: int,
    now_ms: int,
    timeframe: Timeframe = CYCLE,
    *,
    again: bool = False,
) -> int:
    """Note as asked for what the answer to a span did not bring; returns how many slots became absent.

    Args:
        again: its slots were asked for before. Without it a slot that is noted already is not counted again: the same
            answer may be stored twice.
    """
    slots = missing(connection, [symbol], first_ms, last_ms, timeframe)[symbol]
    if not again:
        noted = open_slots(connection, [symbol], first_ms, last_ms, timeframe, bad=True)[symbol]
        slots = np.setdiff1d(slots, noted)
    return record_asked(connection, symbol, slots.tolist(), now_ms, timeframe)


def stored_span(
    connection: Connection, symbol: str, last_ms: int, timeframe: Timeframe = CYCLE
) -> tuple[int | None, int | None]:
    """Open times (ms) of the first stored candle and of the newest one up to `last_ms`."""
    first, newest = connection.execute(
        text(
            'SELECT min(open_time), max(open_time) FROM candles WHERE symbol = :symbol AND "interval" = :interval '
            "AND open_time <= :last"
        ),
        {"symbol": symbol, "interval": timeframe.name, "last": grid.to_time(last_ms)},
    ).one()
    return (first and grid.to_ms(first)), (newest and grid.to_ms(newest))


def record_asked(
    connection: Connection,
    symbol: str,
    slots: Collection[int],
    now_ms: int,
    timeframe: Timeframe = CYCLE,
) -> int:
    """Note that the exchange was asked for these slots and had no sound candle; returns how many became absent.

    A slot asked for the second time is absent, unless it is so young that the next candle still runs: then it may
    yet be delivered. Nor is it where a bad row of it lies in quarantine: the exchange may yet mend that.
    """
    if not slots:
        return 0
    row = connection.execute(
        text("""
        WITH asked AS (
            INSERT INTO candle_gaps (symbol, "interval", open_time, state, asked, found_at)
            SELECT :symbol, :interval, slot, 'open', 1, :now FROM unnest(CAST(:slots AS timestamptz[])) AS slot
            ON CONFLICT (symbol, "interval", open_time) DO UPDATE
            SET asked = candle_gaps.asked + 1 WHERE candle_gaps.state = 'open' AND candle_gaps.asked < 30000
            RETURNING open_time, asked
        )
        SELECT array_agg(open_time) FROM asked WHERE asked >= 2 AND open_time + 2 * :step <= :now
        """),
        {
            "symbol": symbol,
            "interval": timeframe.name,
            "now": grid.to_time(now_ms),
            "slots": [grid.to_time(int(slot)) for slot in slots],
            "step": timeframe.step,
        },
    ).scalar_one()
    return _declare_absent(connection, symbol, row or [], now_ms, timeframe)


def _declare_absent(
    connection: Connection, symbol: str, slots: list[object], now_ms: int, timeframe: Timeframe
) -> int:
    if not slots:
        return 0
    return connection.execute(
        text(f"""
        UPDATE candle_gaps AS g SET state = 'absent', settled_at = :now
        WHERE g.symbol = :symbol AND g."interval" = :interval AND g.state = 'open' AND g.open_time = ANY(:slots)
        AND {_NOTHING_BAD}
        """),
        {"symbol": symbol, "interval": timeframe.name, "now": grid.to_time(now_ms), "slots": slots},
    ).rowcount


def open_slots(
    connection: Connection,
    symbols: Collection[str],
    first_ms: int,
    last_ms: int,
    timeframe: Timeframe = CYCLE,
    *,
    bad: bool = False,
) -> dict[str, Slots]:
    """Of each symbol the slots of the span that were asked for in vain and may yet be settled.

    Args:
        bad: also those of which a bad row lies in quarantine.
    """
    rows = connection.execute(
        text(
            "SELECT g.symbol, array_agg((extract(EPOCH FROM g.open_time) * 1000)::bigint ORDER BY g.open_time) "
            "FROM candle_gaps AS g WHERE g.symbol = ANY(:symbols) AND g.\"interval\" = :interval AND g.state = 'open' "
            f"AND g.open_time BETWEEN :first AND :last AND (:bad OR {_NOTHING_BAD}) GROUP BY g.symbol"
        ),
        {
            "symbols": list(symbols),
            "interval": timeframe.name,
            "first": grid.to_time(first_ms),
            "last": grid.to_time(last_ms),
            "bad": bad,
        },
    )
    found = {symbol: np.array(slots, dtype=np.int64) for symbol, slots in rows}
    return {symbol: found.get(symbol, np.empty(0, dtype=np.int64)) for symbol in symbols}


@dataclass(frozen=True)
class Gap:
    """A slot that had no candle when it was asked for: how often it was, and since when it is settled."""

    symbol: str
    open_time: datetime
    state: str
    asked: int
    found_at: datetime
    settled_at: datetime | None


@dataclass(frozen=True)
class Stretch:
    """Consecutive slots of a symbol that fared alike; `asked` from the least to the most, times to the latest."""

    first: Gap
    slots: int
    asked: tuple[int, int]
    found_at: datetime
    settled_at: datetime | None


def recorded(
    connection: Connection,
    symbols: Collection[str] | None = None,
    state: str | None = None,
    timeframe: Timeframe = CYCLE,
) -> list[Gap]:
    """Every slot that was ever missing, by symbol and time; of some symbols, or in one state only."""
    rows = connection.execute(
        text(
            "SELECT symbol, open_time, state, asked, found_at, settled_at FROM candle_gaps "
            'WHERE "interval" = :interval AND (CAST(:symbols AS text []) IS NULL OR symbol = ANY(:symbols)) '
            "AND (CAST(:state AS text) IS NULL OR state = :state) ORDER BY symbol, open_time"
        ),
        {
            "interval": timeframe.name,
            "symbols": None if symbols is None else list(symbols),
            "state": state,
        },
    )
    return [Gap(*row) for row in rows]


def stretches(found: Iterable[Gap], timeframe: Timeframe = CYCLE) -> list[Stretch]:
    """Gaps in their order by symbol and time, consecutive ones in the same state folded into one."""
    folded: list[Stretch] = []
    for gap in found:
        last = folded[-1] if folded else None
        if last is not None and _goes_on(last, gap, timeframe):
            settled = gap.settled_at and last.settled_at and max(gap.settled_at, last.settled_at)
            asked = min(last.asked[0], gap.asked), max(last.asked[1], gap.asked)
            found_at = max(last.found_at, gap.found_at)
            folded[-1] = Stretch(last.first, last.slots + 1, asked, found_at, settled)
        else:
            folded.append(Stretch(gap, 1, (gap.asked, gap.asked), gap.found_at, gap.settled_at))
    return folded


def _goes_on(stretch: Stretch, gap: Gap, timeframe: Timeframe) -> bool:
    first = stretch.first
    follows = gap.open_time == first.open_time + stretch.slots * timeframe.step
    return follows and (first.symbol, first.state) == (gap.symbol, gap.state)

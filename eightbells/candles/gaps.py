"""Slots of the grid without a candle: found, asked for again, and then repaired or recorded as absent."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, text

from eightbells.candles import grid

Slots = npt.NDArray[np.int64]

# A young slot may still be delivered: its absence needs a second look one candle later.
YOUNG = timedelta(hours=4)
_NOTHING_BAD = """NOT EXISTS (
    SELECT FROM quarantine AS q
    WHERE q.symbol = g.symbol AND q."interval" = g."interval" AND q.open_time = g.open_time AND q.state = 'open'
)"""


_KNOWN = """
SELECT array_agg((extract(EPOCH FROM open_time) * 1000)::bigint) FROM (
    SELECT open_time FROM candles
    WHERE symbol = :symbol AND "interval" = :interval AND open_time BETWEEN :first AND :last
    UNION ALL
    SELECT open_time FROM candle_gaps
    WHERE symbol = :symbol AND "interval" = :interval AND open_time BETWEEN :first AND :last AND state = 'absent'
) AS known
"""


def missing(connection: Connection, symbol: str, first_ms: int, last_ms: int) -> Slots:
    """Open times (ms, ascending) from first to last, both included, that are neither stored nor absent for good."""
    wanted = np.arange(first_ms, last_ms + 1, grid.STEP_MS, dtype=np.int64)
    known = connection.execute(
        text(_KNOWN),
        {
            "symbol": symbol,
            "interval": grid.INTERVAL,
            "first": grid.to_time(first_ms),
            "last": grid.to_time(last_ms),
        },
    ).scalar_one()
    return np.setdiff1d(wanted, np.array(known or [], dtype=np.int64))


def absent(connection: Connection, symbols: Collection[str], last_ms: int) -> dict[str, Slots]:
    """Of each symbol the slots up to `last_ms` (open times in ms, ascending) that are absent for good."""
    rows = connection.execute(
        text(
            'SELECT symbol, open_time FROM candle_gaps WHERE symbol = ANY(:symbols) AND "interval" = :interval '
            "AND open_time <= :last AND state = 'absent' ORDER BY symbol, open_time"
        ),
        {"symbols": list(symbols), "interval": grid.INTERVAL, "last": grid.to_time(last_ms)},
    )
    found: dict[str, list[int]] = {symbol: [] for symbol in symbols}
    for symbol, opened in rows:
        found[symbol].append(grid.to_ms(opened))
    return {symbol: np.array(slots, dtype=np.int64) for symbol, slots in found.items()}


def stored_span(connection: Connection, symbol: str, last_ms: int) -> tuple[int | None, int | None]:
    """Open times (ms) of the first stored candle and of the newest one up to `last_ms`."""
    first, newest = connection.execute(
        text(
            'SELECT min(open_time), max(open_time) FROM candles WHERE symbol = :symbol AND "interval" = :interval '
            "AND open_time <= :last"
        ),
        {"symbol": symbol, "interval": grid.INTERVAL, "last": grid.to_time(last_ms)},
    ).one()
    return (first and grid.to_ms(first)), (newest and grid.to_ms(newest))


def record_asked(connection: Connection, symbol: str, slots: Collection[int], now_ms: int) -> int:
    """Note that the exchange was asked for these slots and had no sound candle; returns how many became absent.

    A slot asked for the second time is absent, unless it is young, or a bad row of it lies in quarantine: then
    the exchange has something there and may yet mend it.
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
        SELECT array_agg(open_time) FROM asked WHERE asked >= 2 AND open_time + :step + :young <= :now
        """),
        {
            "symbol": symbol,
            "interval": grid.INTERVAL,
            "now": grid.to_time(now_ms),
            "slots": [grid.to_time(int(slot)) for slot in slots],
            "step": grid.STEP,
            "young": YOUNG,
        },
    ).scalar_one()
    return _declare_absent(connection, symbol, row or [], now_ms)


def _declare_absent(connection: Connection, symbol: str, slots: list[object], now_ms: int) -> int:
    if not slots:
        return 0
    return connection.execute(
        text(f"""
        UPDATE candle_gaps AS g SET state = 'absent', settled_at = :now
        WHERE g.symbol = :symbol AND g."interval" = :interval AND g.state = 'open' AND g.open_time = ANY(:slots)
        AND {_NOTHING_BAD}
        """),
        {"symbol": symbol, "interval": grid.INTERVAL, "now": grid.to_time(now_ms), "slots": slots},
    ).rowcount


def open_slots(connection: Connection, symbol: str, first_ms: int, last_ms: int) -> Slots:
    """Slots of the span that were asked for in vain and may yet be settled: nothing of them lies in quarantine."""
    rows = connection.execute(
        text(
            'SELECT g.open_time FROM candle_gaps AS g WHERE g.symbol = :symbol AND g."interval" = :interval '
            f"AND g.state = 'open' AND g.open_time BETWEEN :first AND :last AND {_NOTHING_BAD} ORDER BY g.open_time"
        ),
        {
            "symbol": symbol,
            "interval": grid.INTERVAL,
            "first": grid.to_time(first_ms),
            "last": grid.to_time(last_ms),
        },
    ).scalars()
    return np.fromiter(map(grid.to_ms, rows), dtype=np.int64)


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
    connection: Connection, symbols: Collection[str] | None = None, state: str | None = None
) -> list[Gap]:
    """Every slot that was ever missing, by symbol and time; of some symbols, or in one state only."""
    rows = connection.execute(
        text(
            "SELECT symbol, open_time, state, asked, found_at, settled_at FROM candle_gaps "
            'WHERE "interval" = :interval AND (CAST(:symbols AS text []) IS NULL OR symbol = ANY(:symbols)) '
            "AND (CAST(:state AS text) IS NULL OR state = :state) ORDER BY symbol, open_time"
        ),
        {
            "interval": grid.INTERVAL,
            "symbols": None if symbols is None else list(symbols),
            "state": state,
        },
    )
    return [Gap(*row) for row in rows]


def stretches(found: Iterable[Gap]) -> list[Stretch]:
    """Gaps in their order by symbol and time, consecutive ones in the same state folded into one."""
    folded: list[Stretch] = []
    for gap in found:
        last = folded[-1] if folded else None
        if last is not None and _goes_on(last, gap):
            settled = gap.settled_at and last.settled_at and max(gap.settled_at, last.settled_at)
            asked = min(last.asked[0], gap.asked), max(last.asked[1], gap.asked)
            found_at = max(last.found_at, gap.found_at)
            folded[-1] = Stretch(last.first, last.slots + 1, asked, found_at, settled)
        else:
            folded.append(Stretch(gap, 1, (gap.asked, gap.asked), gap.found_at, gap.settled_at))
    return folded


def _goes_on(stretch: Stretch, gap: Gap) -> bool:
    first = stretch.first
    follows = gap.open_time == first.open_time + stretch.slots * grid.STEP
    return follows and (first.symbol, first.state) == (gap.symbol, gap.state)

"""What became of every slot of the grid, by symbol and month: stored, quarantined, open or absent."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, text

from eightbells.candles import grid
from eightbells.candles.timeframe import CYCLE, Timeframe
from eightbells.errors import EightbellsError


@dataclass(frozen=True)
class Month:
    """The slots of a symbol in a month: `slots` is the sum of the others.

    Args:
        month: its first day, UTC.
        quarantined: only bad rows came for them.
        open: they have no candle, and may not have been asked for yet.
        absent: the exchange has none, and was asked twice.
    """

    symbol: str
    month: date
    slots: int
    stored: int
    quarantined: int
    open: int
    absent: int

    @property
    def share(self) -> float:
        """The share of the slots that is stored, 0 to 1."""
        return self.stored / self.slots


# A slot counts once: what is stored is stored, whatever came before it.
_KNOWN = """
WITH known AS (
    SELECT c.symbol, c.open_time, 'stored' AS state FROM candles AS c WHERE c."interval" = :interval AND {chosen}
    UNION ALL
    SELECT DISTINCT c.symbol, c.open_time, 'quarantined' FROM quarantine AS c
    WHERE c.state = 'open' AND c."interval" = :interval AND {chosen} AND c.open_time <= :last
    AND date_bin(:step, c.open_time, :origin) = c.open_time AND NOT EXISTS ({stored})
    UNION ALL
    SELECT c.symbol, c.open_time, g.state FROM candle_gaps AS c
    CROSS JOIN LATERAL (SELECT CASE c.state WHEN 'absent' THEN 'absent' ELSE 'open' END AS state) AS g
    WHERE c."interval" = :interval AND {chosen} AND NOT EXISTS ({stored}) AND NOT EXISTS ({bad})
)
SELECT
    k.symbol, date_trunc('month', k.open_time, 'UTC') AS month, k.state, count(*), min(k.open_time),
    max(k.open_time), coalesce(s.status, 'TRADING') = 'TRADING' AS traded
FROM known AS k LEFT JOIN symbols AS s ON k.symbol = s.symbol
GROUP BY k.symbol, month, k.state, traded
""".format(
    chosen="(CAST(:symbols AS text[]) IS NULL OR c.symbol = ANY(:symbols))",
    stored="SELECT FROM candles AS o "
    'WHERE (o.symbol, o."interval", o.open_time) = (c.symbol, c."interval", c.open_time)',
    bad="SELECT FROM quarantine AS q WHERE q.state = 'open' "
    'AND (q.symbol, q."interval", q.open_time) = (c.symbol, c."interval", c.open_time)',
)


def coverage(
    connection: Connection,
    now_ms: int,
    symbols: Collection[str] | None = None,
    timeframe: Timeframe = CYCLE,
) -> list[Month]:
    """Every slot of each symbol, by symbol and month.

    A symbol's slots begin with the first of which anything is known. They end with the last that is closed at
    `now_ms`; where the exchange does not trade the symbol any more, with the last of which anything is known.

    Args:
        symbols: those to look at. None: all of which anything is known.

    Raises:
        EightbellsError: nothing is known of one of `symbols`.
    """
    last = timeframe.last_closed(now_ms)
    rows = connection.execute(
        text(_KNOWN),
        {
            "interval": timeframe.name,
            "step": timeframe.step,
            "origin": timeframe.origin,
            "last": grid.to_time(last),
            "symbols": None if symbols is None else list(symbols),
        },
    ).all()
    counted: dict[str, dict[date, dict[str, int]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(int))
    )
    spans: dict[str, tuple[int, int]] = {}
    for symbol, month, state, count, begin, end, traded in rows:
        counted[symbol][month.date()][state] = count
        first, newest = grid.to_ms(begin), max(grid.to_ms(end), last if traded else 0)
        before = spans.get(symbol, (first, newest))
        spans[symbol] = min(first, before[0]), max(newest, before[1])
    if missing := sorted(set(symbols or ()) - set(spans)):
        raise EightbellsError(
            f"nothing is known of {', '.join(missing)}: no candle, no gap, no quarantined row"
        )
    return [
        _month(symbol, month, timeframe.slots(begin, end).size, counted[symbol][month])
        for symbol, (first, newest) in sorted(spans.items())
        for month, begin, end in timeframe.months(first, newest)
    ]


def _month(symbol: str, month: date, slots: int, counted: dict[str, int]) -> Month:
    known = [counted.get(state, 0) for state in ("stored", "quarantined", "absent")]
    return Month(symbol, month, slots, known[0], known[1], slots - sum(known), known[2])

"""Candles in Postgres: written exactly, restated with their old version kept, read back as they were known."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sqlalchemy import Connection, text

from eightbells.candles import grid
from eightbells.candles.frame import KLINE, VALUES
from eightbells.candles.timeframe import CYCLE, Timeframe
from eightbells.candles.window import SHOWN, Window
from eightbells.database import locks

LINE = ("symbol", *KLINE)  # and a last field that is not stored
_FIELDS = ", ".join(VALUES)
_STORED = ", ".join(f"candles.{name}" for name in VALUES)
_NEW = ", ".join(f"excluded.{name}" for name in VALUES)
# times travel as milliseconds and become timestamps in Postgres, which is faster at it
_TRAVELLING = {"open_time": "0::bigint AS open_ms", "close_time": "0::bigint AS close_ms"}
_INCOMING = f"""
CREATE TEMP TABLE IF NOT EXISTS incoming ON COMMIT DELETE ROWS
AS SELECT symbol, {", ".join(_TRAVELLING.get(name, name) for name in KLINE)}, ''::text AS unused
FROM candles WITH NO DATA
"""
_TIME = "timestamptz 'epoch' + {} * interval '1 millisecond'"
_COPY = "COPY incoming FROM STDIN"
_WRITE = f"""
WITH written AS (
    INSERT INTO candles (symbol, "interval", open_time, {_FIELDS}, source, batch_id)
    SELECT
        symbol, :interval, {_TIME.format("open_ms")}, {_TIME.format("close_ms")}, {", ".join(VALUES[1:])},
        :source, :batch
    FROM incoming
    {{restate}}
    RETURNING xmax = 0 AS inserted
)
SELECT count(*) FILTER (WHERE inserted), count(*) FILTER (WHERE NOT inserted) FROM written
"""
_RESTATE = f"""
ON CONFLICT (symbol, "interval", open_time) DO UPDATE
SET ({_FIELDS}, source, batch_id) = ({_NEW}, excluded.source, excluded.batch_id)
WHERE ({_STORED}) IS DISTINCT FROM ({_NEW})
"""
_IS_NEW = f"""
SELECT NOT EXISTS (
    SELECT FROM (
        SELECT symbol, {_TIME.format("min(open_ms)")} AS first, {_TIME.format("max(open_ms)")} AS last
        FROM incoming GROUP BY symbol
    ) AS i
    CROSS JOIN LATERAL (
        SELECT FROM candles AS c
        WHERE c.symbol = i.symbol AND c."interval" = :interval AND c.open_time BETWEEN i.first AND i.last
        ORDER BY c.open_time LIMIT 1
    ) AS c
)
"""
_REPAIRED = f"""
UPDATE candle_gaps AS g SET state = 'repaired', settled_at = :at
FROM incoming AS i
WHERE g.symbol = i.symbol AND g."interval" = :interval AND g.open_time = {_TIME.format("i.open_ms")}
AND g.state <> 'repaired'
"""


@dataclass(frozen=True)
class Written:
    """What one batch changed."""

    batch: int
    inserted: int
    revised: int


def lines_of(frame: pd.DataFrame) -> bytes:
    """The rows of a candle frame as lines: the fields `LINE` and one more, separated by tabs."""
    line = "\t".join(["%s"] * len(LINE)) + "\t\n"
    rows = zip(*(frame[name].tolist() for name in LINE), strict=True)
    return "".join([line % row for row in rows]).encode()


def write(
    connection: Connection,
    lines: Iterable[bytes],
    source: str,
    known_ms: int,
    flow_run: str | None,
    timeframe: Timeframe = CYCLE,
) -> Written:
    """Store closed, judged candles as one batch, in the caller's transaction.

    A row equal to what is stored changes nothing; one that differs replaces it, and a trigger keeps the old
    version. Gaps that the rows fill are marked repaired.

    Args:
        lines: blocks of lines of judged candles, as `lines_of` gives them.
        source: `rest`, `ws` or `archive`.
        known_ms: the exchange's time at which the rows were judged.
    """
    connection.execute(text(_INCOMING))
    with connection.connection.cursor().copy(_COPY) as copy:
        for block in lines:
            copy.write(block)
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": locks.BATCHES})
    batch: int = connection.execute(
        text(
            'INSERT INTO batches (source, "interval", known_at, flow_run) '
            "VALUES (:source, :interval, :known, :run) RETURNING id"
        ),
        {"source": source, "interval": timeframe.name, "known": grid.to_time(known_ms), "run": flow_run},
    ).scalar_one()
    values = {"interval": timeframe.name, "source": source, "batch": batch, "at": grid.to_time(known_ms)}
    # nobody else writes: the lock is held. Not to look for each row's old version takes half of the time.
    is_new = connection.execute(text(_IS_NEW), values).scalar_one()
    write_rows = _WRITE.format(restate="" if is_new else _RESTATE)
    inserted, revised = connection.execute(text(write_rows), values).one()
    connection.execute(text(_REPAIRED), values)
    return Written(batch, inserted, revised)


_READ = f"""
COPY (
    SELECT w.number, extract(EPOCH FROM c.open_time)::bigint * 1000, {", ".join(f"c.{name}" for name in SHOWN)}
    FROM unnest(%(symbols)s::text[]) WITH ORDINALITY AS w (symbol, number)
    CROSS JOIN LATERAL (
        SELECT * FROM {{source}} AS s
        WHERE s.symbol = w.symbol AND s."interval" = %(interval)s AND s.open_time <= %(last)s
        ORDER BY s.open_time DESC LIMIT %(count)s
    ) AS c
) TO STDOUT
"""


def read_windows(
    connection: Connection, symbols: Collection[str], last_ms: int, count: int, as_of_batch: int | None = None
) -> dict[str, Window]:
    """Of each symbol the newest `count` candles up to and with the one that opened at `last_ms`, oldest first.

    All are read as one text: to make an object of each figure takes four times as long.

    Args:
        as_of_batch: the batch right after which the candles are looked at; None: as they are now.
    """
    names = list(symbols)
    source = "candles" if as_of_batch is None else "candles_as_of_batch(%(batch)s)"
    values = {
        "symbols": names,
        "interval": grid.INTERVAL,
        "last": grid.to_time(last_ms),
        "count": count,
        "batch": as_of_batch,
    }
    with connection.connection.cursor().copy(_READ.format(source=source), values) as copy:
        # each row's buffer is let go at once: to hold on to all of them takes four times as long
        lines = b"".join([bytes(row) for row in copy]).splitlines()
    rows = np.fromstring(b" ".join(lines), sep=" ").reshape(len(lines), 2 + len(SHOWN))
    order = np.lexsort((rows[:, 1], rows[:, 0]))
    numbers, opens = rows[order, 2:], rows[order, 1].astype(np.int64)
    ends = np.searchsorted(rows[order, 0], np.arange(len(names) + 1), side="right").tolist()
    ordered_lines = [lines[at] for at in order]
    return {
        name: Window(opens[start:end], numbers[start:end], ordered_lines[start:end])
        for name, start, end in zip(names, ends[:-1], ends[1:], strict=True)
    }


def read_window(
    connection: Connection, symbol: str, last_ms: int, count: int, as_of_batch: int | None = None
) -> Window:
    """One symbol's window, as `read_windows` gives it."""
    return read_windows(connection, [symbol], last_ms, count, as_of_batch)[symbol]


def newest_batch(connection: Connection) -> int:
    """The newest batch this transaction sees; every older one is seen too."""
    batch: int = connection.execute(text("SELECT coalesce(max(id), 0) FROM batches")).scalar_one()
    return batch

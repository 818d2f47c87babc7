"""The table of candles with 20 million rows: as fast to write and to read as in the beginning, and how large it is."""

from __future__ import annotations

import statistics
import sys
import time

from sqlalchemy import Engine, text

from eightbells.candles import grid, store
from eightbells.candles.frame import candle_frame, concatenate
from tests.benchmarks.store import CANDLES, klines
from tests.benchmarks.surroundings import fresh_database

ROWS = 20_000_000
TOGETHER = 5  # symbols in a batch
MILLION = 1_000_000
WINDOWS, WINDOW = 400, 500
SLOWER, READ_SECONDS = (
    0.2,
    0.5,
)  # the most that the last million may be slower than the first; a read of all windows


def main() -> None:
    frame = concatenate([candle_frame(f"S{number}", klines(number)) for number in range(TOGETHER)])
    lines, now = store.lines_of(frame), grid.closes_at(int(frame["close_time"].max()))
    with fresh_database() as engine:
        seconds = [_write(engine, lines, number, now) for number in range(-(-ROWS // (TOGETHER * CANDLES)))]
        in_a_million = -(-MILLION // (TOGETHER * CANDLES))
        first, last = (sum(part) for part in (seconds[:in_a_million], seconds[-in_a_million:]))
        vacuumed = _vacuumed(engine)
        reads = [_read(engine) for _ in range(5)]
        with engine.connect() as connection:
            rows, size, index, dead = connection.execute(text(_FACTS)).one()
    written = in_a_million * TOGETHER * CANDLES
    slower, read = last / first - 1, statistics.median(reads)
    print(f"table: {rows:,} rows of {len(seconds) * TOGETHER} symbols, {sum(seconds):.0f} s of writing")
    print(f"  first million {written / first:>9,.0f} rows/s")
    print(
        f"  last million  {written / last:>9,.0f} rows/s   {slower:+.0%} time, "
        f"target at most {SLOWER:+.0%}: {_met(slower <= SLOWER)}"
    )
    print(
        f"  {WINDOWS} windows of {WINDOW} candles in {read * 1000:.0f} ms (slowest {max(reads) * 1000:.0f}), "
        f"target {READ_SECONDS * 1000:.0f} ms: {_met(read <= READ_SECONDS)}"
    )
    print(f"  {size / rows:.0f} bytes a row, {index / rows:.0f} of them the key's; {dead:,} dead rows")
    print(f"  vacuumed by itself: {vacuumed}")


_FACTS = """
SELECT (SELECT count(*) FROM candles), pg_total_relation_size('candles'), pg_indexes_size('candles'), n_dead_tup
FROM pg_stat_user_tables WHERE relname = 'candles'
"""
_VACUUMED = """
SELECT s.autovacuum_count, c.relallvisible::float8 / greatest(c.relpages, 1)
FROM pg_stat_user_tables AS s INNER JOIN pg_class AS c ON c.oid = s.relid WHERE s.relname = 'candles'
"""
_MOST = 0.8  # of the pages: the next time comes when a fifth of the rows is new
_PATIENCE = 900  # seconds for Postgres to vacuum 5 GB at its usual, gentle pace


def _vacuumed(engine: Engine) -> str:
    """Whether Postgres vacuums the table without being told to, and how much of it."""
    begun = time.monotonic()
    while True:
        with engine.connect() as connection:
            count, visible = connection.execute(text(_VACUUMED)).one()
        if count and visible > _MOST:
            when = f"{time.monotonic() - begun:.0f} s after the last row"
            return f"{count} times, at {visible:.0%} of its pages {when}"
        if time.monotonic() - begun > _PATIENCE:
            return f"NOT within {_PATIENCE} s; {visible:.0%} of its pages are"
        time.sleep(5)


def _write(engine: Engine, lines: bytes, number: int, now: int) -> float:
    """Seconds that a batch of symbols of its own takes."""
    for symbol in range(TOGETHER):
        lines = lines.replace(f"S{symbol}\t".encode(), f"S{symbol}N{number:04}USDT\t".encode())
    started = time.perf_counter()
    with engine.begin() as connection:
        store.write(connection, [lines], "rest", now, None)
    seconds = time.perf_counter() - started
    if number % 20 == 19 and sys.stderr.isatty():
        print(f"  {(number + 1) * TOGETHER * CANDLES:,} rows", file=sys.stderr)
    return seconds


def _read(engine: Engine) -> float:
    """Seconds that the windows of many symbols take, as a cycle reads them."""
    with engine.connect() as connection:
        names = [f"S{number % TOGETHER}N{number // TOGETHER:04}USDT" for number in range(WINDOWS)]
        started = time.perf_counter()
        frames = store.read_windows(connection, names, (CANDLES - 1) * grid.STEP_MS, WINDOW)
        seconds = time.perf_counter() - started
    assert sum(map(len, frames.values())) == WINDOWS * WINDOW
    return seconds


def _met(held: bool) -> str:
    return "met" if held else "NOT met"

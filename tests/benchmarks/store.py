"""Rows a second into Postgres: written for the first time, written again unchanged, and judged by the suite."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np

from eightbells.candles import grid, store
from eightbells.candles.frame import candle_frame, concatenate
from eightbells.quality import suite
from tests.benchmarks.surroundings import fresh_database

SYMBOLS, CANDLES = 5, 18_000
ROUNDS = 5


def main() -> None:
    frames = [candle_frame(f"S{number}USDT", klines(number)) for number in range(SYMBOLS)]
    frame = concatenate(frames)
    now = grid.closes_at(int(frame["close_time"].max()))
    print(f"store: {len(frame):,} rows, {ROUNDS} rounds, median (slowest)")
    first, again, judged = [], [], []
    for _ in range(ROUNDS):
        with fresh_database() as engine:
            for seconds in (first, again):
                seconds.append(_timed(lambda engine=engine: _write(engine, frame, now)))
        judged.append(_timed(lambda: suite.judge(frame, now)))
    for name, seconds in (("written first", first), ("written again", again), ("judged", judged)):
        rates = sorted(len(frame) / second for second in seconds)
        print(f"  {name:14} {statistics.median(rates):>10,.0f} rows/s  ({rates[0]:,.0f})")


def _write(engine, frame, now: int) -> None:
    with engine.begin() as connection:
        store.write(connection, [store.lines_of(frame)], "rest", now, None)


def _timed(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def klines(seed: int) -> list[list[object]]:
    """Candles with as many digits as real ones have."""
    source = np.random.default_rng(seed)
    rows: list[list[object]] = []
    for number in range(CANDLES):
        opened = number * grid.STEP_MS
        low, middle, high = sorted(source.integers(2_500_000_000_000, 2_600_000_000_000, 3).tolist())
        volume, taken = sorted(source.integers(1, 10**13, 2).tolist(), reverse=True)
        prices = [f"{price / 10**8:.8f}" for price in (middle, high, low, middle)]
        rows.append(
            [
                opened,
                *prices,
                f"{volume / 10**8:.8f}",
                opened + grid.STEP_MS - 1,
                f"{volume / 10**5:.8f}",
                int(volume % 10**6),
                f"{taken / 10**8:.8f}",
                f"{taken / 10**5:.8f}",
                "0",
            ]
        )
    return rows

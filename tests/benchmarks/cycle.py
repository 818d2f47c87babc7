"""Seconds for a whole four-hour cycle with at most 45 orders, recorded by a Prefect server, over 5, 50 and 400 symbols.

Cycles are four hours apart. Here a minute of the exchange's weight lies between those of 400 symbols.
"""

from __future__ import annotations

import asyncio
import json
import os
import time

from eightbells.candles import grid
from tests.benchmarks.surroundings import fresh_database, recorder, simulator
from tests.exchange import Simulator

SIZES = (5, 50, 400)
CYCLES, ORDERS = 3, 45
TARGET_SECONDS = 15.0
MANY, MINUTE_SECONDS = 400, 61
AFTER_CLOSE_MS = 3_500


def main() -> None:
    os.environ["PREFECT_LOGGING_LEVEL"] = "CRITICAL"
    print(f"cycle: one that loads the strategies' windows, then {CYCLES} on the next candles")
    with recorder():
        for size in SIZES:
            with simulator("--generate", str(size)) as market, fresh_database():
                _measure(market, size)


def _measure(market: Simulator, size: int) -> None:
    from flows.four_hour_cycle import four_hour_cycle

    names = [str(entry) for entry in _symbols(market)][:size]
    os.environ["EIGHTBELLS_SYMBOLS"] = json.dumps(names)
    os.environ["EIGHTBELLS_RISK__MAX_ORDERS_PER_CYCLE"] = str(ORDERS)
    last = grid.last_closed(market.now)
    seconds, orders = [], []
    for number in range(CYCLES + 1):
        opened = last + (number + 1) * grid.STEP_MS
        market.control("clock", time=grid.closes_at(opened) + AFTER_CLOSE_MS)
        if size == MANY and seconds:
            time.sleep(MINUTE_SECONDS)
        started = time.perf_counter()
        report = asyncio.run(four_hour_cycle(candle=grid.to_time(opened)))
        seconds.append(time.perf_counter() - started)
        orders.append(len(report.orders))
        assert report.outcome == "complete", report.problems
    later = ", ".join(f"{second:.1f}" for second in seconds[1:])
    sent = ", ".join(map(str, orders[1:]))
    print(f"  {size:>4} symbols   first {seconds[0]:5.1f} s   then {later} s   with {sent} orders")
    if size == MANY:
        met = "met" if max(seconds[1:]) <= TARGET_SECONDS else "NOT met"
        print(f"  target {TARGET_SECONDS:g} s for each but the first of {MANY} symbols: {met}")


def _symbols(market: Simulator) -> list[str]:
    return [entry["symbol"] for entry in market.ask("/api/v3/exchangeInfo")["symbols"]]

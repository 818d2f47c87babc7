"""From the last frame of a close to the first order: 50 symbols, 2 strategies with stops, trading on the close."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import statistics
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, ClassVar

import pandas as pd
from sqlalchemy import Engine, text

import flows.stream
from eightbells.candles import grid
from eightbells.exchange.streams import ClosedCandle, StreamEvent
from eightbells.strategies import contract
from eightbells.stream.engine import Stream
from tests.benchmarks.surroundings import fresh_database, recorder, simulator
from tests.exchange import Simulator

SYMBOLS, CLOSES = 50, 6
TARGET_SECONDS = 1.0
START = 1_767_225_600_000
_PATIENCE = 120.0
_LEAD_MS = 3_000  # before a close: time for the stream to be at rest
_RECONCILED_MS = 300_000  # after a close


class InTurn:
    """Long on one candle and flat on the next, so that every close brings an order for every symbol."""

    version: ClassVar[str] = "1"
    Parameters: ClassVar[type[contract.Parameters]] = contract.Parameters
    window: ClassVar[int] = 100

    def __init__(self, parameters: contract.Parameters) -> None: ...

    def decide(self, candles: pd.DataFrame) -> contract.Opinion:
        last: datetime = candles.index[-1]
        even = grid.to_ms(last) // grid.STEP_MS % 2 == 0
        return contract.Opinion("long" if even else "flat", f"close {candles['close'].mean():g} on average")


def main() -> None:
    logging.disable(logging.ERROR)
    print(
        f"close: {SYMBOLS} symbols, 2 strategies, {CLOSES} closes; from the last frame to the first order",
        flush=True,
    )
    arguments = ("--generate", str(SYMBOLS), "--stream-interval", "0.2")
    with (
        recorder(),
        simulator(*arguments) as market,
        fresh_database() as engine,
    ):
        market.control("clock", time=START + 3_500, speed=1)
        _show(*asyncio.run(_closes(market, engine)))


class _Timed(Stream):
    """A stream that notes when the last closed candle came."""

    running: ClassVar[_Timed]
    last_frame: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _Timed.running = self
        for feed in self.feeds:
            feed.put = self._arrive

    def _arrive(self, event: StreamEvent) -> None:
        if isinstance(event, ClosedCandle):
            _Timed.last_frame = time.time()
        self._events.put_nowait(event)

    async def leap(self, market: Simulator, now: int) -> None:
        """Set the exchange's clock, and let the stream know."""
        await asyncio.to_thread(lambda: market.control("clock", time=now, speed=1))
        await self.runtime.gateway.sync_clock()
        self._catch_up.wanted.set()  # it had planned for another close


async def _closes(market: Simulator, engine: Engine) -> tuple[list[float], list[int], int]:
    """Seconds to the first order and how many orders followed, close by close; and what the cycles after added."""
    from flows.four_hour_cycle import four_hour_cycle
    from flows.reconcile import reconcile

    _configure(market)
    flows.stream.Stream = _Timed  # type: ignore[misc]
    flow = asyncio.create_task(flows.stream.stream(return_state=True))
    waits, counts, added = [], [], 0
    opened = START
    await _until(_is_complete, engine, opened - grid.STEP_MS)
    await _until(_is_reconciled, engine, opened)  # which goes on for ten seconds after the start
    for _ in range(CLOSES):
        already = len(_orders(market))
        await _Timed.running.leap(market, grid.closes_at(opened) - _LEAD_MS)
        await _until(_is_done, engine, opened)
        sent = _orders(market)[already:]
        waits.append(min(entry["real_ts"] for entry in sent) / 1000 - _Timed.last_frame)
        counts.append(len(sent))
        print(f"  {len(waits)} of {CLOSES}: {waits[-1]:.2f} s, {counts[-1]} orders", flush=True)
        await four_hour_cycle(candle=grid.to_time(opened))
        await _Timed.running.leap(market, grid.closes_at(opened) + _RECONCILED_MS)
        await reconcile()  # as every ten minutes
        added += len(_orders(market)) - already - len(sent)
        opened += grid.STEP_MS
    os.kill(os.getpid(), signal.SIGTERM)
    await flow
    return waits, counts, added


def _configure(market: Simulator) -> None:
    names = [entry["symbol"] for entry in market.ask("/api/v3/exchangeInfo")["symbols"]][:SYMBOLS]
    streams = market.ws
    strategies = [
        {"name": name, "kind": "tests.benchmarks.close:InTurn", "capital": "20000", "stop_loss": "0.2"}
        for name in ("one", "two")
    ]
    os.environ |= {
        "EIGHTBELLS_SYMBOLS": json.dumps(names),
        "EIGHTBELLS_STRATEGIES": json.dumps(strategies),
        "EIGHTBELLS_STREAM__TRADE_ON_CLOSE": "true",
        "EIGHTBELLS_TRADING__ORDER_TYPE": "market",
        "EIGHTBELLS_EXCHANGE__STREAM_URL": f"{streams}/",
        "EIGHTBELLS_EXCHANGE__WS_API_URL": f"{streams}/ws-api/v3",
    }


async def _until(happened: Callable[[Engine, int], bool], engine: Engine, opened: int) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not happened(engine, opened):
        assert time.monotonic() < deadline, f"not within {_PATIENCE:g} s"
        await asyncio.sleep(0.2)


def _is_complete(engine: Engine, opened: int) -> bool:
    with engine.connect() as connection:
        found = connection.execute(
            text("SELECT count(*) FROM candles WHERE open_time = :at"), {"at": grid.to_time(opened)}
        )
        return int(found.scalar_one()) == SYMBOLS


def _is_reconciled(engine: Engine, opened: int) -> bool:
    with engine.connect() as connection:
        return int(connection.execute(text("SELECT count(*) FROM order_looks")).scalar_one()) == SYMBOLS


def _is_done(engine: Engine, opened: int) -> bool:
    with engine.connect() as connection:
        found = connection.execute(
            text("SELECT FROM cycles WHERE open_time = :at"), {"at": grid.to_time(opened)}
        )
        return bool(found.all())


def _orders(market: Simulator) -> list[dict[str, Any]]:
    """What was sent: purchases and their stops, and sales, each in its stop's place."""
    log: list[dict[str, Any]] = market.ask("/simulator/truth?log=20000")["requests"]["log"]
    placed = ("/api/v3/order", "/api/v3/order/cancelReplace")
    return [entry for entry in log if entry["method"] == "POST" and entry["path"] in placed]


def _show(waits: list[float], counts: list[int], added: int) -> None:
    met = "met" if max(waits) <= TARGET_SECONDS and not added else "NOT met"
    print(
        "  seconds   "
        + "  ".join(f"{wait:.2f}" for wait in waits)
        + f"   median {statistics.median(waits):.2f}"
    )
    print("  orders    " + "  ".join(f"{count:>4}" for count in counts))
    print(f"  orders that the scheduled cycles added: {added}")
    print(f"  target {TARGET_SECONDS:g} s for each, and none added: {met}")


if __name__ == "__main__":
    main()

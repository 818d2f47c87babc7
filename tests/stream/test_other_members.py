"""The stream and a universe by rule: the scheduled cycle chooses, and the stream begins again with the members."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import Engine

from eightbells.candles import grid
from eightbells.stream import other_members
from tests.conftest import Configure
from tests.exchange import Simulator
from tests.klines import one, rows_of
from tests.stream.test_trading import STRATEGIES, Symbols, orders_sent, until
from tests.stream.watched import CLOSE, OPENED, STANDS

MEMBERS = "SELECT symbol FROM universe_members ORDER BY symbol"


async def test_the_cycle_chooses_and_the_stream_ends_to_follow_the_members(
    prefect_server: str,
    market: Simulator,
    engine: Engine,
    symbols: Symbols,
    configure: Configure,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from flows.four_hour_cycle import four_hour_cycle
    from flows.stream import stream

    monkeypatch.setattr(other_members, "_LOOK_SECONDS", 0.2)
    configure(
        symbols=list(symbols[:2]),
        universe={"top": 3, "days": 7},
        strategies=STRATEGIES,
        stream__trade_on_close="true",
        trading__order_type="market",
        budgets__orders="exchange",
        budgets__account="exchange",
        exchange__clock_speed=str(STANDS),
    )
    market.control("clock", time=CLOSE - 1, speed=0)
    flow = asyncio.create_task(stream(return_state=True))
    stored = "SELECT count(*) FROM candles WHERE open_time = :at"
    await until(lambda: one(engine, stored, at=grid.to_time(OPENED - grid.STEP_MS)) == 2)
    await asyncio.sleep(1)
    await asyncio.to_thread(market.control, "clock", advance=10)
    # the list is followed until the first choice, which is the cycle's: nothing is traded on this close
    await until(lambda: one(engine, stored, at=grid.to_time(OPENED)) == 2)
    await asyncio.sleep(1)
    assert orders_sent(market) == []
    assert not flow.done()
    configure(candles__settle_seconds="0")  # the clock stands: it would wait for ever
    await four_hour_cycle(candle=grid.to_time(OPENED))
    chosen = [symbol for (symbol,) in rows_of(engine, MEMBERS)]
    assert len(chosen) == 3
    assert sorted(entry["symbol"] for entry in orders_sent(market)) == sorted(2 * chosen)
    async with asyncio.timeout(30):
        state = await flow
    assert state.name == "Ended"

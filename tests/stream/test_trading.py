"""Trading on the close: orders follow the last frame of a candle, and the cycle that is scheduled adds none."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
from sqlalchemy import Engine, text

from eightbells.candles import grid
from eightbells.events import CANDLES_VALIDATED, ORDER_FILLED
from tests.books import list_symbol
from tests.conftest import Configure
from tests.exchange import STEP, Simulator
from tests.klines import one, rows_of
from tests.prefect_server import events_since
from tests.stream.watched import CLOSE, OPENED, STANDS

Symbols = tuple[str, ...]
PATIENCE = 120.0
STRATEGIES = [
    {
        "name": name,
        "kind": "tests.always:Always",
        "capital": "20000",
        "parameters": {"target": "long", "window": 5},
    }
    for name in ("one", "two")
]
HUNG = {
    "name": "hung",
    "kind": "tests.misbehaving:Misbehaving",
    "capital": "1",
    "parameters": {"how": "regex"},
}


@asynccontextmanager
async def streaming(engine: Engine, symbols: Symbols) -> AsyncIterator[None]:
    """The flow in this process, ended as its supervisor ends it."""
    from flows.stream import stream

    flow = asyncio.create_task(stream(return_state=True))
    at = grid.to_time(OPENED - STEP)
    await until(
        lambda: (
            one(engine, "SELECT count(*) FROM candles WHERE open_time = :at", at=at) == len(symbols)
            and signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        )
    )
    yield
    os.kill(os.getpid(), signal.SIGTERM)
    state = await flow
    assert state.name == "Ended", state


async def until(happened: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < deadline, f"not within {PATIENCE:g} s"
        await asyncio.sleep(0.05)


def orders_sent(market: Simulator) -> list[dict[str, Any]]:
    log = market.ask("/simulator/truth?log=5000")["requests"]["log"]
    return [entry for entry in log if (entry["method"], entry["path"]) == ("POST", "/api/v3/order")]


async def test_the_cycle_after_a_trade_on_the_close_places_no_order_again(
    prefect_server: str, market: Simulator, engine: Engine, symbols: Symbols, configure: Configure
) -> None:
    from flows.four_hour_cycle import four_hour_cycle

    symbols = symbols[:8]

    configure(
        symbols=list(symbols),
        strategies=[HUNG | {"symbols": symbols[:1]}, *STRATEGIES],
        limits__decide_seconds="1",
        stream__trade_on_close="true",
        trading__order_type="market",
        budgets__orders="exchange",
        budgets__account="exchange",
        exchange__clock_speed=str(STANDS),
    )
    market.control("clock", time=CLOSE - 1, speed=0)
    began = datetime.now(UTC)
    async with streaming(engine, symbols):
        await asyncio.sleep(1)
        closed = time.time()
        await asyncio.to_thread(market.control, "clock", advance=10)
        await until(lambda: len(rows_of(engine, "SELECT FROM cycles")) == 1)
        sent = orders_sent(market)
        print(
            f"from the close to the first order: {min(entry['real_ts'] for entry in sent) / 1000 - closed:.2f} s"
        )
        assert len(sent) == len(symbols) * len(STRATEGIES)
        assert dict(
            rows_of(
                engine,
                "SELECT source, count(*) FROM candles WHERE open_time = :at GROUP BY source",
                at=grid.to_time(OPENED),
            )
        ) == {"ws": len(symbols)}
        problems = one(engine, "SELECT summary -> 'problems' FROM cycles")
        assert problems[0].startswith(f"hung on {symbols[0]}: decide did not return"), problems
        configure(
            strategies=STRATEGIES, candles__settle_seconds="0"
        )  # the clock stands: it would wait for ever
        await four_hour_cycle(candle=grid.to_time(OPENED))
    async with httpx.AsyncClient(base_url=prefect_server, timeout=30) as api:
        filled = await events_since(api, began, len(sent), ORDER_FILLED)
        assert {it["payload"]["state"] for it in filled} == {"FILLED"}
        assert sorted(it["payload"]["order"] for it in filled) == [
            order for (order,) in rows_of(engine, "SELECT id FROM orders WHERE state = 'FILLED' ORDER BY id")
        ]
        validated = await events_since(api, began, 2, CANDLES_VALIDATED)
        assert {it["payload"]["source"] for it in validated} >= {"ws"}
    assert len(orders_sent(market)) == len(sent)
    assert one(engine, "SELECT count(*) FROM orders") == len(sent)
    assert one(engine, "SELECT count(*) FROM evaluations") == len(sent)


async def test_what_is_held_outside_the_settings_is_followed_and_not_traded(
    prefect_server: str, market: Simulator, engine: Engine, symbols: Symbols, configure: Configure
) -> None:
    traded, held = symbols[:2], symbols[2]
    configure(
        symbols=list(traded),
        strategies=STRATEGIES,
        stream__trade_on_close="true",
        trading__order_type="market",
        budgets__orders="exchange",
        budgets__account="exchange",
        exchange__clock_speed=str(STANDS),
    )
    with engine.begin() as connection:
        list_symbol(connection, held)
        connection.execute(
            text(
                "INSERT INTO position_totals (account, strategy, symbol, quantity, quote_flow, fills) "
                "VALUES ('paper', 'gone', :symbol, 1, -1, 1)"
            ),
            {"symbol": held},
        )
    market.control("settings", accounts={"paper": {"deposit": {held.removesuffix("USDT"): "1"}}})
    market.control("clock", time=CLOSE - 1, speed=0)
    async with streaming(engine, (*traded, held)):
        await asyncio.sleep(1)
        market.control("clock", advance=10)
        source = "SELECT source FROM candles WHERE symbol = :symbol AND open_time = :at"
        await until(
            lambda: (
                rows_of(engine, source, symbol=held, at=grid.to_time(OPENED)) == [("ws",)]
                and len(rows_of(engine, "SELECT FROM cycles")) == 1
            )
        )
        # while the run of the close lasts, Prefect takes the signal
        await until(lambda: "prefect" not in getattr(signal.getsignal(signal.SIGTERM), "__name__", ""))
    assert {entry["symbol"] for entry in orders_sent(market)} == set(traded)

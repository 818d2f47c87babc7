"""Candles a second through the gateway, next to a bare python-binance client on the same simulator."""

from __future__ import annotations

import asyncio
import statistics
import time

from binance import AsyncClient

from eightbells.candles import grid
from eightbells.exchange.gateway import open_gateway
from eightbells.settings import load_settings
from tests.benchmarks.surroundings import fresh_database, simulator
from tests.exchange import Simulator

PAGES, AT_ONCE, ROUNDS = 300, 8, 5
START = 1_577_836_800_000  # 2020-01-01


def main() -> None:
    with simulator("--generate", "5", "--speed", "1") as market, fresh_database() as engine:
        # the governor is on, but what is measured is speed, not Binance's limit of 50,000 candles a second
        market.control("settings", rate_limits={"REQUEST_WEIGHT": 10_000_000})
        bare, ours = asyncio.run(_rounds(market, engine))
    ratios = [mine / theirs for mine, theirs in zip(ours, bare, strict=True)]
    print(
        f"reads: {PAGES} pages of 1,000 candles, {AT_ONCE} at once, {ROUNDS} rounds in turn, median (slowest)"
    )
    for name, rates in (("bare AsyncClient", bare), ("gateway", ours)):
        print(f"  {name:17} {statistics.median(rates):>10,.0f} candles/s  ({min(rates):,.0f})")
    print(f"  {'ratio':17} {statistics.median(ratios):>10.2f}             ({min(ratios):.2f})")


async def _rounds(market: Simulator, engine) -> tuple[list[float], list[float]]:
    class Bare(AsyncClient):
        API_URL = f"{market.url}/api"

    client = Bare()
    bare, ours = [], []
    async with open_gateway(load_settings(), engine) as gateway:
        await gateway.exchange_info(["BTCUSDT"])

        async def through_client(start: int) -> list[list[object]]:
            return await client.get_klines(
                symbol="BTCUSDT", interval=grid.INTERVAL, startTime=start, limit=1000
            )

        async def through_gateway(start: int) -> list[list[object]]:
            return await gateway.klines("BTCUSDT", start, None, 1000)

        await _read(through_client)  # the simulator renders its candles once
        for _ in range(ROUNDS):
            bare.append(await _read(through_client))
            ours.append(await _read(through_gateway))
    await client.close_connection()
    return bare, ours


async def _read(ask) -> float:
    starts = iter([START + (page % 10) * 1000 * grid.STEP_MS for page in range(PAGES)])
    count = 0

    async def reader() -> None:
        nonlocal count
        for start in starts:
            rows = await ask(start)  # on a line of its own: += would read the count before it waits
            count += len(rows)

    begun = time.perf_counter()
    await asyncio.gather(*(reader() for _ in range(AT_ONCE)))
    return count / (time.perf_counter() - begun)

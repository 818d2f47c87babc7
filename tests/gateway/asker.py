"""A process that asks for more klines than it may, once for each line on its standard input tells it."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import suppress
from typing import Any

from eightbells.database.engine import connect
from eightbells.exchange.budgets import Budgets, Limit
from eightbells.exchange.gateway import Gateway
from eightbells.exchange.recovery import ExchangeError
from eightbells.settings import load_settings


class Windowed(Budgets):
    """The same budgets, with a window that the test chose for klines."""

    klines: Limit

    def _own(self, budget: str | None) -> Limit | None:
        return self.klines if budget == "klines" else None


async def ask_for(order: dict[str, Any]) -> None:
    """Ask `rate` times a second from `begin` to `until`, where `limit` in `window` seconds are allowed."""
    settings = load_settings(exchange={"rest_url": order["url"]}, database_url=order["database"])
    engine = connect(order["database"])
    gateway = Gateway(settings, engine)
    try:
        gateway.budgets = Windowed(engine, settings.budgets, now_ms=gateway.clock.now_ms)
        gateway.budgets.klines = Limit(order["limit"], order["window"])
        await gateway.sync_clock()
        await asyncio.sleep(order["begin"] - time.time())
        await _ask(gateway, order["rate"], order["until"])
    finally:
        await gateway.close()
        engine.dispose()


async def _ask(gateway: Gateway, rate: float, until: float) -> None:
    under_way = set()
    while time.time() < until:
        under_way.add(task := asyncio.create_task(_once(gateway)))
        task.add_done_callback(under_way.discard)
        await asyncio.sleep(1 / rate)
    for task in under_way:
        task.cancel()
    await asyncio.gather(*under_way, return_exceptions=True)


async def _once(gateway: Gateway) -> None:
    with suppress(ExchangeError):  # banned
        await gateway.klines("BTCUSDT", 0, None, 1)


if __name__ == "__main__":
    print("ready", flush=True)
    for line in sys.stdin:
        asyncio.run(ask_for(json.loads(line)))
        print("done", flush=True)

"""Closed candles over REST: the pages that cover what is missing, fetched side by side within the budget."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from eightbells.candles import grid
from eightbells.candles.frame import candle_frame
from eightbells.candles.gaps import Slots
from eightbells.candles.klines import Klines
from eightbells.exchange.gateway import Gateway
from eightbells.exchange.recovery import ExchangeError

PAGE = 1000  # the most klines one answer holds


@dataclass(frozen=True)
class Page:
    """One question: the candles of a symbol from the slot `first_ms` to the slot `last_ms`, at most 1,000."""

    symbol: str
    first_ms: int
    last_ms: int

    @property
    def slots(self) -> int:
        return (self.last_ms - self.first_ms) // grid.STEP_MS + 1


def plan_pages(symbol: str, slots: Slots) -> list[Page]:
    """The fewest pages that cover the slots (open times in ms, ascending)."""
    pages: list[Page] = []
    index = 0
    while index < len(slots):
        first = int(slots[index])
        after = int(np.searchsorted(slots, first + PAGE * grid.STEP_MS))
        pages.append(Page(symbol, first, int(slots[after - 1])))
        index = after
    return pages


async def fetch_pages(
    gateway: Gateway, pages: Iterable[Page]
) -> AsyncIterator[tuple[Page, Klines | ExchangeError]]:
    """The klines of the pages as they arrive, a few requests under way at a time.

    A page that fails gives its error in their place; whether the others matter then is the caller's to say.
    """
    waiting = iter(pages)
    under_way: set[asyncio.Task[tuple[Page, Klines | ExchangeError]]] = set()
    try:
        while True:
            while len(under_way) < gateway.concurrency and (page := next(waiting, None)):
                under_way.add(asyncio.create_task(_fetch(gateway, page)))
            if not under_way:
                return
            done, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                yield task.result()
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


async def _fetch(gateway: Gateway, page: Page) -> tuple[Page, Klines | ExchangeError]:
    try:
        rows = await gateway.klines(page.symbol, page.first_ms, page.last_ms, page.slots)
    except ExchangeError as error:
        return page, error
    return page, Klines(page.symbol, rows, range(page.first_ms, page.last_ms + 1))


async def closes_since(
    gateway: Gateway, symbol: str, first_ms: int, last_ms: int
) -> list[tuple[int, Decimal]]:
    """Open time (ms) and close of each candle of the exchange, at most 1,000; one that cannot be read is left out."""
    frame = candle_frame(symbol, await gateway.klines(symbol, first_ms, last_ms, PAGE))
    return [
        (opened, close)
        for opened, close in zip(frame["open_time"].tolist(), frame["close"].tolist(), strict=True)
        if type(opened) is int and isinstance(close, Decimal) and close > 0
    ]


async def first_open_time(gateway: Gateway, symbol: str) -> int | None:
    """When the symbol's first candle opened, or None where it has none yet or the answer cannot be read."""
    frame = candle_frame(symbol, await gateway.klines(symbol, 0, None, 1))
    opens: list[int | None] = frame["open_time"].tolist()
    return opens[0] if opens else None

"""Closed candles over REST: the pages that cover some slots, fetched side by side within the budget."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

import numpy as np

from eightbells.candles.frame import candle_frame
from eightbells.candles.klines import Klines
from eightbells.candles.timeframe import CYCLE, Slots, Timeframe
from eightbells.exchange.gateway import Gateway
from eightbells.exchange.recovery import Action, ExchangeError

PAGE = 1000  # the most klines one answer holds


@dataclass(frozen=True)
class Page:
    """One question: the candles of a symbol from the slot `first_ms` to the slot `last_ms`, at most 1,000.

    Args:
        again: its slots were asked for before, in vain.
    """

    symbol: str
    first_ms: int
    last_ms: int
    timeframe: Timeframe = CYCLE
    again: bool = False

    @property
    def slots(self) -> int:
        return (self.last_ms - self.first_ms) // self.timeframe.step_ms + 1

    def answered(self, rows: Sequence[Any]) -> Klines:
        """The rows of the answer to it."""
        return Klines(self.symbol, rows, range(self.first_ms, self.last_ms + 1), self.timeframe)


def plan_pages(
    wanted: Mapping[str, Slots], timeframe: Timeframe = CYCLE, *, again: bool = False
) -> list[Page]:
    """The fewest pages that cover the slots (open times in ms, ascending) of each symbol."""
    return [page for symbol, slots in wanted.items() for page in _pages(symbol, slots, timeframe, again)]


def _pages(symbol: str, slots: Slots, timeframe: Timeframe, again: bool) -> list[Page]:
    pages: list[Page] = []
    index = 0
    while index < len(slots):
        first = int(slots[index])
        after = int(np.searchsorted(slots, first + PAGE * timeframe.step_ms))
        pages.append(Page(symbol, first, int(slots[after - 1]), timeframe, again))
        index = after
    return pages


class Record(Protocol):
    """What is told of each request for a page."""

    def asked(self, page: Page) -> None:
        """The page is about to be asked for."""

    def answered(self, page: Page, rows: Sequence[Any]) -> None:
        """The rows of its answer."""

    def failed(self, page: Page) -> None:
        """The exchange refused to answer."""


async def fetch_pages(
    gateway: Gateway, pages: Iterable[Page], record: Record | None = None
) -> AsyncIterator[tuple[Page, Klines | ExchangeError]]:
    """The klines of the pages as they arrive, a few requests under way at a time.

    A page that fails gives its error in their place; whether the others matter then is the caller's to say.

    Args:
        record: what is told of each request.
    """
    waiting = iter(pages)
    under_way: set[asyncio.Task[tuple[Page, Klines | ExchangeError]]] = set()
    try:
        while True:
            while len(under_way) < gateway.concurrency and (page := next(waiting, None)):
                under_way.add(asyncio.create_task(_fetch(gateway, page, record)))
            if not under_way:
                return
            done, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                yield task.result()
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


async def _fetch(gateway: Gateway, page: Page, record: Record | None) -> tuple[Page, Klines | ExchangeError]:
    if record is not None:
        record.asked(page)
    try:
        rows = await gateway.klines(page.symbol, page.first_ms, page.last_ms, page.slots, page.timeframe.name)
    except ExchangeError as error:
        if record is not None:
            record.failed(page)
        return page, error
    if record is not None:
        record.answered(page, rows)  # before anything else is awaited
    return page, page.answered(rows)


async def fetch_all(gateway: Gateway, pages: Sequence[Page]) -> AsyncGenerator[Klines, None]:
    """The pages' klines as they come. A symbol that the exchange refuses is passed over.

    Raises:
        ExchangeError: what befell one question will befall the others: they are not asked.
    """
    async with aclosing(fetch_pages(gateway, pages)) as outcomes:  # type: ignore[type-var]
        async for _, outcome in outcomes:
            if not isinstance(outcome, ExchangeError):
                yield outcome
            elif outcome.failure.remedy.action is not Action.REFUSE:
                raise outcome


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


async def first_open_time(gateway: Gateway, symbol: str, timeframe: Timeframe = CYCLE) -> int | None:
    """When the symbol's first candle opened, or None where it has none yet or the answer cannot be read."""
    frame = candle_frame(symbol, await gateway.klines(symbol, 0, None, 1, timeframe.name))
    opens: list[int | None] = frame["open_time"].tolist()
    return opens[0] if opens else None

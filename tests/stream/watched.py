"""A real `Stream` beside a test: what it has stored, held against what the exchange says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sqlalchemy import Engine

from eightbells.candles import grid
from eightbells.exchange.streams import Pace
from eightbells.stream.engine import Stream
from tasks.session import Session, unset_session
from tests.exchange import START, STEP, Simulator
from tests.klines import one, rows_of
from tests.stream.compressed import BOUND, LONGEST_WAIT, SILENCE

PACE = Pace(silence=SILENCE, rotate=3600, overlap=0.3, first_wait=0.1, longest_wait=LONGEST_WAIT)
OPENED = START  # the candle that closes during the test
CLOSE = OPENED + STEP
STANDS = 1e-6  # the speed of our idea of the exchange's clock, where that stands until it is told to close


@dataclass
class Told:
    """A reporter that keeps what it is told."""

    warnings: list[str] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)

    def warn(self, words: str) -> None:
        self.warnings.append(words)

    async def show(self, facts: Mapping[str, str]) -> None:
        self.facts = dict(facts)


@dataclass
class Watched:
    """A stream that runs, its exchange and its database."""

    stream: Stream
    task: asyncio.Task[None]
    session: Session
    simulator: Simulator
    engine: Engine
    told: Told

    async def set_clock(self, before_close: float) -> None:
        """Let the exchange's clock stand so many seconds before the close, and the stream know it."""
        await self.ask("clock", time=CLOSE - int(before_close * 1000), speed=1)
        await self.session.gateway.sync_clock()
        self.stream._catch_up.wanted.set()  # it had planned for another close

    async def ask(self, what: str, **body: Any) -> Any:
        return await asyncio.to_thread(self.simulator.control, what, **body)

    async def fault(self, kind: str, match: dict[str, str] | None = None, **choice: Any) -> int:
        action = {"stream": kind, **({"status": choice.pop("status")} if "status" in choice else {})}
        answer = await self.ask("faults", match=match or {"channel": "stream"}, action=action, **choice)
        return int(answer["id"])

    async def rest_fault(self, **choice: Any) -> int:
        answer = await self.ask("faults", match={"path": "/api/*"}, action={"status": 503}, **choice)
        return int(answer["id"])

    async def mend(self, number: int | None = None) -> None:
        query = "" if number is None else f"?id={number}"
        await asyncio.to_thread(self.simulator.ask, f"/simulator/faults{query}", None, "DELETE")

    async def fired(self) -> dict[int, int]:
        return await asyncio.to_thread(self.simulator.fired)

    async def until(self, happened: Callable[[], object], seconds: float) -> None:
        """Wait for something; the stream must live on meanwhile."""
        deadline = time.monotonic() + seconds
        while not happened():
            assert not self.task.done(), self.task.exception()
            assert time.monotonic() < deadline, f"not within {seconds:g} s; {self.told.warnings}"
            await asyncio.sleep(0.02)

    async def until_close(self) -> None:
        """Wait until the candle is over by the exchange's clock."""
        await asyncio.sleep(self.session.gateway.clock.seconds_until(CLOSE))

    @property
    def is_connected(self) -> bool:
        return all(feed.is_connected for feed in self.stream.feeds)

    def sources(self, opened: int = OPENED) -> dict[str, int]:
        """How many of a candle's rows came from where."""
        rows = rows_of(
            self.engine,
            "SELECT source, count(*) FROM candles WHERE open_time = :at GROUP BY source",
            at=grid.to_time(opened),
        )
        return dict(rows)  # type: ignore[arg-type]

    def is_complete(self, opened: int = OPENED) -> bool:
        return sum(self.sources(opened).values()) == len(self.stream.symbols)

    async def all_stored(self, within: float = BOUND) -> dict[str, int]:
        """Wait until the candle of every symbol is stored, and hold each against the exchange's; gives the sources."""
        await self.until(self.is_complete, within)
        wrong = await asyncio.to_thread(differences, self.simulator, self.engine, self.stream.symbols)
        assert wrong == []
        assert one(self.engine, "SELECT count(*) FROM candle_revisions") == 0
        assert one(self.engine, "SELECT count(*) FROM quarantined_candles") == 0
        return self.sources()


_STORED = """
SELECT symbol, open_time, open, high, low, close, volume, close_time, quote_volume, trades, taker_buy_base,
    taker_buy_quote
FROM candles
"""


def differences(simulator: Simulator, engine: Engine, symbols: tuple[str, ...]) -> list[str]:
    """What is stored and does not equal what the exchange serves, or is served and missing."""
    stored: dict[str, list[tuple[Any, ...]]] = {}
    for symbol, opened, *values in rows_of(engine, _STORED):
        values[5] = grid.to_ms(values[5])
        stored.setdefault(symbol, []).append((grid.to_ms(opened), *values))
    wrong = []
    for symbol in symbols:
        rows = sorted(stored.get(symbol, []))
        first = rows[0][0] if rows else OPENED
        last = grid.last_closed(simulator.now)
        served = [_exact(kline) for kline in simulator.klines(symbol, first, last)]
        wrong += [f"{symbol} {grid.label(row[0])}" for row in set(rows) ^ set(served)]
    return wrong


def _exact(kline: list[Any]) -> tuple[Any, ...]:
    opened, open_, high, low, close, volume, closed, quote, trades, base, taken, _ = kline
    prices = (Decimal(price) for price in (open_, high, low, close, volume))
    return (opened, *prices, closed, Decimal(quote), trades, Decimal(base), Decimal(taken))


@asynccontextmanager
async def watched(
    simulator: Simulator, engine: Engine, symbols: tuple[str, ...], **given: Any
) -> AsyncIterator[Watched]:
    """Run the stream for the length of a block, connected and with all that closed before it stored."""
    async with unset_session(limit=None) as session:
        await session.gateway.sync_clock()
        told = Told()
        stream = Stream(session, symbols, told, **{"pace": PACE, **given})
        task = asyncio.create_task(stream.run())
        watch = Watched(stream, task, session, simulator, engine, told)
        try:
            await watch.until(lambda: watch.is_connected and watch.is_complete(OPENED - STEP), 30)
            yield watch
        finally:
            stream.end()
            await task

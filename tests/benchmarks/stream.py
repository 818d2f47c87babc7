"""Kline messages a second that one core takes, next to python-binance's multiplex socket; and a thousand closes."""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from binance import AsyncClient, BinanceSocketManager
from sqlalchemy import Engine, text

from eightbells.candles import grid
from eightbells.exchange.streams import ClosedCandle, Feed, Pace, StreamEvent
from eightbells.stream.engine import Stream
from tasks.session import unset_session
from tests.benchmarks.surroundings import fresh_database, simulator

SYMBOLS, SECONDS, ROUNDS, BURSTS = 1000, 5.0, 3, 6
TARGET_RATE, TARGET_P99, TARGET_BURST = 20_000, 0.5, 2.0
NAMES = [f"S{number:04d}USDT" for number in range(SYMBOLS)]
START = 1_767_225_600_000
# how long frames are gathered (s), and how many are judged together
TRIED = ((0.02, 1000), (0.05, 1000), (0.02, 250))


def main() -> None:
    with stream_server() as server:
        _show_load(*asyncio.run(_load(server)))
    with simulator("--generate", "1", "--speed", "0") as market, fresh_database() as engine:
        market.control("clock", time=START + 60_000, speed=0)
        with stream_server() as server:
            _show_bursts(asyncio.run(_bursts(server, engine)))


@dataclass
class Commanded:
    """The server's address and its ear."""

    url: str
    process: subprocess.Popen[str]

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()


@contextmanager
def stream_server() -> Iterator[Commanded]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.stream_server", str(SYMBOLS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield Commanded(f"ws://127.0.0.1:{process.stdout.readline().strip()}/", process)
    finally:
        process.kill()
        process.communicate()


# Load


async def _load(server: Commanded) -> tuple[list[float], list[float]]:
    """Messages a second of CPU time: the machine's other work does not count, ours all does."""
    theirs, ours = [], []
    server.tell("flood")
    for _ in range(ROUNDS):
        theirs.append(await _multiplex(server.url))
        ours.append(await _feed(server.url))
    return theirs, ours


async def _feed(url: str) -> float:
    feed = Feed(url, set(NAMES[:100]), lambda event: None, Pace(silence=10, rotate=3600))
    task = asyncio.create_task(feed.run())
    while not feed.is_connected:
        await asyncio.sleep(0.01)
    seen, cpu = feed.messages, time.process_time()
    await asyncio.sleep(SECONDS)
    rate = (feed.messages - seen) / (time.process_time() - cpu)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    return rate


async def _multiplex(url: str) -> float:
    """As its readme shows; its queue of 100, which ends it at this pace, is made a million."""
    client = AsyncClient()
    manager = BinanceSocketManager(client, max_queue_size=1_000_000)
    manager.STREAM_URL = url
    socket = manager.multiplex_socket([f"{name.lower()}@kline_4h" for name in NAMES[:100]])
    async with socket as stream:
        seen, cpu, until = 0, time.process_time(), time.monotonic() + SECONDS
        while time.monotonic() < until:
            message = await stream.recv()
            seen += message["data"]["k"]["x"] is False
        rate = seen / (time.process_time() - cpu)
    await client.close_connection()
    return rate


def _show_load(theirs: list[float], ours: list[float]) -> None:
    print(f"stream: kline messages in a second of one core, {ROUNDS} rounds in turn, median (slowest)")
    for name, rates in (("multiplex_socket", theirs), ("Feed", ours)):
        print(f"  {name:17} {statistics.median(rates):>10,.0f} /s  ({min(rates):,.0f})")
    ratio = statistics.median(mine / other for mine, other in zip(ours, theirs, strict=True))
    verdict = "met" if statistics.median(ours) >= TARGET_RATE else "NOT met"
    print(f"  {'ratio':17} {ratio:>10.2f}; target {TARGET_RATE:,}: {verdict}")


# A thousand closes in the same second


@dataclass
class Timed(Stream):
    """A stream that notes when each closed frame arrived and when it was committed."""

    arrived: dict[tuple[str, int], float] = field(default_factory=dict)
    committed: dict[tuple[str, int], float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        for feed in self.feeds:
            feed.put = self._arrive

    def _arrive(self, event: StreamEvent) -> None:
        if isinstance(event, ClosedCandle):
            self.arrived[event.symbol, event.kline[0]] = time.monotonic()
        self._events.put_nowait(event)

    async def _take(self, candles: list[ClosedCandle]) -> None:
        await super()._take(candles)
        now = time.monotonic()
        self.committed |= {(candle.symbol, candle.kline[0]): now for candle in candles}


class Silent:
    """Nobody to report to."""

    def warn(self, words: str) -> None: ...

    async def show(self, facts: object) -> None: ...


async def _bursts(
    server: Commanded, engine: Engine
) -> dict[tuple[float, int], tuple[list[float], list[float]]]:
    os.environ["EIGHTBELLS_EXCHANGE__STREAM_URL"] = server.url
    os.environ["EIGHTBELLS_STRATEGIES"] = "[]"
    opened, found = START, {}
    _fill(engine, START - grid.STEP_MS)
    for gather, most in TRIED:
        waits: list[float] = []
        whole: list[float] = []
        async with _timed(gather, most) as stream:
            for _ in range(BURSTS):
                took = await _burst(server, stream, opened)
                waits += took
                whole.append(max(stream.committed.values()) - min(stream.arrived.values()))
                opened += grid.STEP_MS
        found[gather, most] = waits, whole
    return found


def _fill(engine: Engine, opened: int) -> None:
    """The candle before, so that there is nothing to catch up with."""
    with engine.begin() as connection:
        batch = connection.execute(
            text(
                "INSERT INTO batches (source, \"interval\", known_at) VALUES ('rest', '4h', now()) RETURNING id"
            )
        ).scalar_one()
        connection.execute(
            text(
                "INSERT INTO candles SELECT symbol, '4h', CAST(:at AS timestamptz), :closes, 1, 1, 1, 1, 1, 1, "
                "1, 1, 1, "
                "'rest', :batch FROM unnest(CAST(:symbols AS text[])) AS symbol"
            ),
            {
                "at": grid.to_time(opened),
                "closes": grid.to_time(opened + grid.STEP_MS - 1),
                "symbols": NAMES,
                "batch": batch,
            },
        )


@asynccontextmanager
async def _timed(gather: float, most: int) -> AsyncIterator[Timed]:
    async with unset_session(limit=None) as session:
        await session.gateway.sync_clock()
        given: dict[str, Any] = {"gather_seconds": gather, "most_at_once": most, "pace": Pace(silence=3600)}
        stream = Timed(session, tuple(NAMES), Silent(), **given)
        task = asyncio.create_task(stream.run())
        while not stream.feeds[0].is_connected or stream._judging.locked():
            await asyncio.sleep(0.05)
        yield stream
        stream.end()
        await task


async def _burst(server: Commanded, stream: Timed, opened: int) -> list[float]:
    """From arrival to commit of each symbol's candle."""
    stream.arrived.clear()
    stream.committed.clear()
    await asyncio.to_thread(server.tell, f"close {opened}")
    while len(stream.committed) < SYMBOLS:
        await asyncio.sleep(0.005)
    return [stream.committed[key] - at for key, at in stream.arrived.items()]


def _show_bursts(found: dict[tuple[float, int], tuple[list[float], list[float]]]) -> None:
    print(f"stream: {SYMBOLS:,} symbols close at once, {BURSTS} times; from a frame's arrival to its commit")
    for (gather, most), (waits, whole) in found.items():
        p50, p99 = (statistics.quantiles(waits, n=100)[place] for place in (49, 98))
        met = p99 <= TARGET_P99 and max(whole) <= TARGET_BURST
        print(
            f"  gathered {gather * 1000:>3.0f} ms, {most:>4} at once: p50 {p50 * 1000:>5.0f} ms, p99 "
            f"{p99 * 1000:>5.0f} ms, burst {max(whole):.2f} s: {'met' if met else 'NOT met'}"
        )
    print(f"  targets: p99 {TARGET_P99 * 1000:.0f} ms, burst {TARGET_BURST:g} s")


if __name__ == "__main__":
    main()

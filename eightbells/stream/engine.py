"""The stream engine: gather closed candles, validate and store them, and fetch missed ones over REST."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeVar

from eightbells import metrics
from eightbells.candles import grid
from eightbells.candles.frame import candle_frame
from eightbells.candles.klines import Klines
from eightbells.errors import UnusableBatch
from eightbells.exchange.recovery import ExchangeError
from eightbells.exchange.streams import (
    STREAMS_A_CONNECTION,
    ClosedCandle,
    Connected,
    Feed,
    Lost,
    Pace,
    StreamEvent,
)
from eightbells.quality import data_docs
from eightbells.quality.gate import admit_klines
from eightbells.quality.oddities import bounds_of
from eightbells.runtime import Runtime
from eightbells.stream.closes import Closes, OnClose
from eightbells.stream.rest_catch_up import DATABASE_AWAY, RestCatchUp

_BURST = 5  # times `gather_seconds`: who is first in a burst waits no longer
_AGAIN_SECONDS = 0.5  # until Postgres is asked again
_TO_WRITE_SECONDS = 6.0  # at the end, for what has come and is not stored; the supervisor waits for ten

T = TypeVar("T")
Part = Callable[[], Awaitable[None]]


class Reporter(Protocol):
    """Whom the stream tells how it is. It must bear that nobody listens."""

    def warn(self, words: str) -> None: ...

    async def show(self, facts: Mapping[str, str]) -> None: ...


@dataclass
class Figures:
    """What the heartbeat shows of the run so far; the lag is in seconds."""

    reconnects: int = 0
    loss: str = "none"
    candles: int = 0
    lag: float = 0.0


@dataclass
class Stream:
    """One run of the stream: its connections, what waits to be stored, and what the heartbeat shows.

    Args:
        symbols: those that are traded.
        held: symbols that are held and not traded any more: positions are valued by their candles.
        window: how many of the newest candles are to be there; None: `candles.refetch`.
        on_close: called with a candle's open time shortly before it closes,
            and with a function that waits for the verdicts on it.
        others: what else is to go on beside it, until it ends.
        gather_seconds: frames of one close come in a burst: judged together they cost one run of the suite. A burst is
            over when none has come for so long.
        most_at_once: candles judged together.
    """

    runtime: Runtime
    symbols: tuple[str, ...]
    reporter: Reporter
    window: int | None = None
    on_close: OnClose | None = None
    others: tuple[Part, ...] = ()
    held: tuple[str, ...] = ()
    pace: Pace | None = None
    gather_seconds: float = 0.02
    most_at_once: int = 1000
    streams_a_connection: int = STREAMS_A_CONNECTION
    feeds: list[Feed] = field(default_factory=list)
    figures: Figures = field(default_factory=Figures)
    _events: asyncio.Queue[StreamEvent | None] = field(default_factory=asyncio.Queue)
    _stored_all: asyncio.Event = field(default_factory=asyncio.Event)
    _judging: asyncio.Lock = field(default_factory=asyncio.Lock)
    # one thread: each that has judged keeps memory of its own
    _judge: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "judge"))
    _stored: dict[str, ClosedCandle] = field(default_factory=dict)
    _ending: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._closes = Closes(self.runtime, self.symbols, self.reporter.warn)
        self._catch_up = RestCatchUp(
            self.runtime, self._followed, self.window, self._admit, self._stored_all.wait, self.reporter.warn
        )
        pace = self.pace or usual_pace(self.runtime)
        for start in range(0, len(self._followed), self.streams_a_connection):
            symbols = set(self._followed[start : start + self.streams_a_connection])
            self.feeds.append(Feed(self.runtime.settings.stream_url, symbols, self._events.put_nowait, pace))

    @property
    def _followed(self) -> tuple[str, ...]:
        return (*self.symbols, *self.held)

    def end(self) -> None:
        """Let `run` return, with everything written that has come."""
        self._ending.set()

    async def run(self) -> None:
        """Stream until `end` or cancelled. A part that fails ends all, and the supervisor starts it again."""
        store = asyncio.create_task(self._store())
        parts: list[Part] = [*(feed.run for feed in self.feeds), self._catch_up.run, self._beat, *self.others]
        if self.on_close is not None:
            parts.append(partial(self._closes.trade, self.on_close))
        tasks = [store, *(asyncio.ensure_future(part()) for part in (*parts, self._ending.wait))]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks[1:]:
                task.cancel()
            await asyncio.gather(*tasks[1:], return_exceptions=True)
            self._events.put_nowait(None)
            await asyncio.wait({store}, timeout=_TO_WRITE_SECONDS)
            store.cancel()
            await asyncio.gather(store, return_exceptions=True)
            self._judge.shutdown(wait=False)

    async def _store(self) -> None:
        """Gather events for a moment and store the candles among them, until None comes."""
        async with self._judging:
            await self._in_thread(warm_up)  # the first close must not wait for imports
        more = True
        while more:
            if self._events.empty():
                self._stored_all.set()
            batch = [await self._events.get()]
            self._stored_all.clear()
            await self._gather(batch)
            more = None not in batch
            metrics.STREAM_QUEUE.set(self._events.qsize())
            for event in batch:
                self._note(event)
            candles = [event for event in batch if isinstance(event, ClosedCandle) and self._is_news(event)]
            if candles:
                self._closes.hear(candles)
                await self._take(candles)

    async def _gather(self, batch: list[StreamEvent | None]) -> None:
        """Add what comes until nothing has come for a moment, or for as long as a burst may go on."""
        until = time.monotonic() + _BURST * self.gather_seconds
        more = True
        while more:
            await asyncio.sleep(self.gather_seconds)
            more = not self._events.empty() and time.monotonic() < until
            while not self._events.empty() and len(batch) < self.most_at_once:
                batch.append(self._events.get_nowait())

    def _note(self, event: StreamEvent | None) -> None:
        if isinstance(event, Lost):
            self.figures.reconnects += 1
            self.figures.loss = event.detail
            metrics.STREAM_LOST.labels(event.reason).inc()
            self.reporter.warn(f"stream lost: {event.detail}")
        elif isinstance(event, Connected):
            self._catch_up.wanted.set()
        metrics.STREAM_FALLBACK.set(self._connected < len(self.feeds))

    def _is_news(self, candle: ClosedCandle) -> bool:
        """Whether this very candle has not just been stored: while connections overlap all come twice."""
        stored = self._stored.get(candle.symbol)
        return stored is None or stored.kline != candle.kline

    @property
    def _connected(self) -> int:
        return sum(feed.is_connected for feed in self.feeds)

    async def _take(self, candles: list[ClosedCandle]) -> None:
        # a frame may outrun our estimate of the exchange's clock: what it says of the time counts
        said = max(candle.said_ms for candle in candles)
        await self._admit(klines_of(candles), "ws", said)
        now = self.runtime.now_ms
        for candle in candles:
            self.figures.lag = (now - grid.closes_at(candle.kline[0])) / 1000
            metrics.STREAM_LAG.observe(max(0.0, self.figures.lag))
            self._stored[candle.symbol] = candle
        metrics.STREAM_CANDLES.inc(len(candles))
        self.figures.candles += len(candles)

    async def _admit(self, klines: Sequence[Klines], source: str = "rest", now_ms: int = 0) -> None:
        """Judge and store, one batch at a time: the suite is no place for two. While Postgres is away, wait for it."""
        runtime = self.runtime
        async with self._judging:
            while True:
                now = max(now_ms, runtime.now_ms)
                try:
                    admission = await self._in_thread(
                        partial(
                            admit_klines,
                            runtime.engine,
                            klines,
                            source,
                            now,
                            runtime.flow_run,
                            bounds_of(runtime.settings.candles),
                        )
                    )
                    break
                except UnusableBatch as error:  # REST is asked for them
                    self.reporter.warn(str(error))
                    return
                except DATABASE_AWAY as error:
                    self.reporter.warn(f"candles wait for Postgres: {str(error).splitlines()[0]}")
                    await asyncio.sleep(_AGAIN_SECONDS)
        self._closes.note(admission.verdicts)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._judge, work)

    async def _beat(self) -> None:
        """Show that it lives, and let its figures outlive it."""
        counted, settings = 0, self.runtime.settings
        while True:
            messages = sum(feed.messages for feed in self.feeds)
            metrics.STREAM_MESSAGES.inc(messages - counted)
            counted = messages
            heard = max((feed.heard_at for feed in self.feeds), default=0.0)
            if heard:
                metrics.STREAM_LAST_FRAME.set(time.time() - (time.monotonic() - heard))
            metrics.STREAM_FALLBACK.set(self._connected < len(self.feeds))
            try:
                await asyncio.to_thread(metrics.flush, self.runtime.engine)
                await asyncio.to_thread(data_docs.write, settings.directory, settings.candles.data_docs)
                if self.runtime.gateway.clock.is_stale:
                    await self.runtime.gateway.sync_clock()
            except (ExchangeError, OSError, *DATABASE_AWAY) as error:
                self.reporter.warn(f"heartbeat: {str(error).splitlines()[0]}")
            await self.reporter.show(self.facts())
            await asyncio.sleep(settings.stream.heartbeat_seconds)

    def facts(self) -> dict[str, str]:
        """How it is, in words."""
        last, figures = self._closes.last, self.figures
        newest = max(last.values(), default=None)
        behind = sorted(symbol for symbol in self._followed if last.get(symbol) != newest)
        return {
            "connections": f"{self._connected} of {len(self.feeds)}",
            "candles over REST": "yes" if self._connected < len(self.feeds) else "no",
            "symbols": str(len(self._followed)),
            "candles from streams": str(figures.candles),
            "newest candle": "none yet" if newest is None else grid.label(newest),
            "symbols behind": ", ".join(behind[:20]) or "none",
            "lag of the newest candle": f"{figures.lag:.2f} s",
            "connections replaced by age": str(sum(feed.rotations for feed in self.feeds)),
            "reconnects": str(figures.reconnects),
            "last loss": figures.loss,
        }


def usual_pace(runtime: Runtime) -> Pace:
    """The settings' patience; a connection's age is counted by the exchange's clock."""
    settings = runtime.settings
    rotate = settings.stream.rotate_hours * 3600 / settings.exchange.clock_speed
    return Pace(silence=settings.stream.silence_seconds, rotate=rotate)


def klines_of(candles: Sequence[ClosedCandle]) -> list[Klines]:
    """The candles' klines by symbol."""
    rows: dict[str, list[Any]] = {}
    for candle in candles:
        rows.setdefault(candle.symbol, []).append(candle.kline)
    return [Klines(symbol, found) for symbol, found in rows.items()]


def warm_up() -> None:
    """Import the suite and run it once: seconds that nobody waits for now."""
    from eightbells.quality import suite

    opened = grid.STEP_MS
    kline = [opened, "1", "1", "1", "1", "1", grid.closes_at(opened) - 1, "1", 1, "1", "1", "0"]
    suite.judge(candle_frame("", [kline]), 10 * grid.STEP_MS)
    keep_out_of_garbage()


def keep_out_of_garbage() -> None:
    """Exempt what is in memory from the search for garbage: over all that is imported it takes a third of a second.

    It would come when most is made: between a close and its orders.
    """
    gc.collect()
    gc.freeze()

"""What the stream does between its start and its end: gather closed candles, store them, fetch what was missed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

from prefect.artifacts import acreate_table_artifact
from prefect.logging import get_run_logger
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from eightbells import metrics
from eightbells.candles import grid
from eightbells.candles.frame import candle_frame
from eightbells.errors import EightbellsError
from eightbells.exchange.history import fetch_pages
from eightbells.exchange.recovery import ExchangeError
from eightbells.exchange.streams import STREAMS_A_CONNECTION, ClosedCandle, Connected, Feed, Lost, StreamEvent
from eightbells.exchange.user_stream import user_events
from eightbells.quality.gate import Verdict, admit
from tasks.candles import pages_to
from tasks.orders import desk_of, settle_orders
from tasks.session import Session

_GATHER_SECONDS = 0.05  # frames of one close come in a burst: judged together they cost one run of the suite
_MOST_AT_ONCE = 250  # candles judged together, so that the first of a burst do not wait for the last
_ONE_STREAM = 8_888_004  # key of the advisory lock

OnClose = Callable[[int, dict[str, Verdict]], Awaitable[None]]


@dataclass
class Stream:
    """One run of the stream: its connections, what waits to be stored, and what the heartbeat shows."""

    session: Session
    symbols: tuple[str, ...]
    on_close: OnClose | None = None
    feeds: list[Feed] = field(default_factory=list)
    events: asyncio.Queue[StreamEvent] = field(default_factory=asyncio.Queue)
    missed: asyncio.Event = field(default_factory=asyncio.Event)
    stored: asyncio.Event = field(default_factory=asyncio.Event)
    connected: int = 0
    reconnects: int = 0
    candles: int = 0
    last: dict[str, int] = field(default_factory=dict)
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    loss: str = "none"
    lag: float = 0.0

    async def run(self) -> None:
        """Stream until cancelled; a part that fails ends all, and the supervisor starts it anew."""
        settings = self.session.settings
        parts = range(0, len(self.symbols), STREAMS_A_CONNECTION)
        self.feeds = [
            Feed(
                settings.stream_url, set(self.symbols[start : start + STREAMS_A_CONNECTION]), self.events.put_nowait,
                settings.stream.silence_seconds, settings.stream.rotate_hours * 3600,
            )
            for start in parts
        ]  # fmt: skip
        async with asyncio.TaskGroup() as group:
            for feed in self.feeds:
                group.create_task(feed.run())
            group.create_task(self._store())
            group.create_task(self._catch_up())
            group.create_task(self._follow_orders())
            group.create_task(self._beat())
            if self.on_close is not None:
                group.create_task(self._trade(self.on_close))

    async def _store(self) -> None:
        """Gather events for a moment and store the candles among them."""
        while True:
            batch = [await self.events.get()]
            await asyncio.sleep(_GATHER_SECONDS)
            while not self.events.empty() and len(batch) < _MOST_AT_ONCE:
                batch.append(self.events.get_nowait())
            metrics.STREAM_QUEUE.set(self.events.qsize())
            for event in batch:
                self._note(event)
            if candles := [event for event in batch if isinstance(event, ClosedCandle)]:
                await self._admit(candles)

    def _note(self, event: StreamEvent) -> None:
        if isinstance(event, Lost):
            self.connected -= event.reason in ("silence", "closed", "server-shutdown") and self.connected > 0
            self.reconnects, self.loss = self.reconnects + 1, event.detail
            metrics.STREAM_LOST.labels(event.reason).inc()
            get_run_logger().warning("stream lost: %s", event.detail)
        elif isinstance(event, Connected):
            self.connected = min(self.connected + 1, len(self.feeds))
            self.missed.set()
        metrics.STREAM_FALLBACK.set(self.connected < len(self.feeds))

    async def _admit(self, candles: list[ClosedCandle]) -> None:
        session = self.session
        frames = [candle_frame(candle.symbol, [candle.kline]) for candle in candles]
        # a frame may outrun our estimate of the exchange's clock: what it says of the time counts
        now = max(session.now_ms, *(candle.said_ms for candle in candles))
        admission = await asyncio.to_thread(admit, session.engine, frames, "ws", now, session.flow_run)
        for candle in candles:
            self.lag = (session.now_ms - grid.closes_at(candle.kline[0])) / 1000
            metrics.STREAM_LAG.observe(max(0.0, self.lag))
        metrics.STREAM_CANDLES.inc(len(candles))
        self.candles += len(candles)
        self.last |= {candle.symbol: candle.kline[0] for candle in candles}
        self.verdicts |= admission.verdicts
        self.stored.set()

    async def _catch_up(self) -> None:
        """Over REST, after each connection and some seconds after each close, what no frame has brought."""
        pause = self.session.settings.stream.catch_up_seconds
        while True:
            try:
                complete = await self._fetch_missing()
            except (ExchangeError, EightbellsError, DBAPIError) as error:
                get_run_logger().warning("could not catch up: %s", error)
                complete = False
            clock = self.session.gateway.clock
            due = (
                clock.seconds_until(grid.closes_at(grid.floor(clock.now_ms()))) + pause if complete else pause
            )
            self.missed.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self.missed.wait(), due)

    async def _fetch_missing(self) -> bool:
        """Ask for what is not stored; False where the newest candle of a symbol is still not there."""
        session, last = self.session, grid.last_closed(self.session.now_ms)
        pages = [page for symbol in self.symbols for page in pages_to(session, symbol, last)]
        frames = []
        async for _, outcome in fetch_pages(session.gateway, pages):
            if isinstance(outcome, ExchangeError):
                raise outcome
            frames.append(outcome)
        admission = await asyncio.to_thread(
            admit, session.engine, frames, "rest", session.now_ms, session.flow_run
        )
        self.last |= {symbol: verdict.last_open for symbol, verdict in admission.verdicts.items()}
        self.verdicts |= admission.verdicts
        self.stored.set()
        return not any(page.last_ms == last and self.last.get(page.symbol, 0) < last for page in pages)

    async def _follow_orders(self) -> None:
        """Book our fills as they happen; what happened while nobody listened is asked for."""
        session, log = self.session, get_run_logger()
        desk = desk_of(session)
        events = user_events(
            session.settings.ws_api_url,
            session.gateway.signed_subscription,
            lambda reason: log.warning("user stream lost: %s", reason),
        )
        async for event in events:
            if event is None:
                for problem in await settle_orders(session):
                    log.warning("could not follow an order: %s", problem)
            elif event.get("e") == "executionReport":
                await asyncio.to_thread(desk.take_event, event)

    async def _trade(self, on_close: OnClose) -> None:
        """Trade once the universe's candles are in, or as many as have come when the settle time is over."""
        traded = grid.last_closed(self.session.now_ms)
        while True:
            self.stored.clear()
            await self.stored.wait()
            newest = max(self.last.values(), default=0)
            if newest <= traded:
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(self.session.settings.candles.settle_seconds):
                    while any(self.last.get(symbol, 0) < newest for symbol in self.symbols):
                        self.stored.clear()
                        await self.stored.wait()
            traded = newest
            await on_close(newest, dict(self.verdicts))

    async def _beat(self) -> None:
        """Show that it lives, and let its figures outlive it."""
        counted = 0
        while True:
            messages = sum(feed.messages for feed in self.feeds)
            metrics.STREAM_MESSAGES.inc(messages - counted)
            counted = messages
            heard = max((feed.heard_at for feed in self.feeds), default=0.0)
            metrics.STREAM_SILENCE.set(time.monotonic() - heard if heard else 0)
            await asyncio.to_thread(metrics.flush, self.session.engine)
            await acreate_table_artifact(
                self._rows(), key="stream-heartbeat", description="The stream is alive."
            )
            if self.session.gateway.clock.is_stale:
                await self.session.gateway.sync_clock()
            await asyncio.sleep(self.session.settings.stream.heartbeat_seconds)

    def _rows(self) -> list[dict[str, str]]:
        newest = max(self.last.values(), default=None)
        behind = sorted(symbol for symbol in self.symbols if self.last.get(symbol) != newest)
        facts = {
            "connections": f"{self.connected} of {len(self.feeds)}",
            "REST stands in": "yes" if self.connected < len(self.feeds) else "no",
            "symbols": str(len(self.symbols)),
            "candles stored": str(self.candles),
            "newest candle": "none yet" if newest is None else grid.label(newest),
            "symbols behind": ", ".join(behind[:20]) or "none",
            "lag of the last": f"{self.lag:.2f} s",
            "reconnects": str(self.reconnects),
            "last loss": self.loss,
        }
        return [{"what": name, "is": value} for name, value in facts.items()]


def claim(connection: Connection, account: str) -> bool:
    """Whether this is the account's only stream; the claim lasts as long as the connection."""
    mine: bool = connection.execute(
        text("SELECT pg_try_advisory_lock(:key, hashtext(:account))"),
        {"key": _ONE_STREAM, "account": account},
    ).scalar_one()
    return mine

"""What the stream does between its start and its end: gather closed candles, store them, fetch what was missed."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field

from prefect.artifacts import acreate_table_artifact
from prefect.logging import get_run_logger
from sqlalchemy import Connection, text

from eightbells.candles import grid
from eightbells.candles.frame import candle_frame
from eightbells.errors import EightbellsError
from eightbells.exchange.history import fetch_pages
from eightbells.exchange.recovery import ExchangeError
from eightbells.exchange.streams import (
    STREAMS_A_CONNECTION,
    ClosedCandle,
    Connected,
    Lost,
    StreamEvent,
    candle_events,
)
from eightbells.quality.gate import admit
from tasks.candles import pages_to
from tasks.session import Session

_GATHER_SECONDS = 0.05  # frames of one close come in a burst: judged together they cost one run of the suite
_AFTER_CLOSE_SECONDS = 5.0
_RETRY_SECONDS = 5.0
_ONE_STREAM = 8_888_004  # key of the advisory lock


@dataclass
class Health:
    """What the heartbeat shows."""

    connected: dict[int, bool] = field(default_factory=dict)
    reconnects: int = 0
    candles: int = 0
    last: dict[str, int] = field(default_factory=dict)
    reason: str = ""


def claim(connection: Connection, account: str) -> bool:
    """Whether this is the account's only stream; the claim lasts as long as the connection."""
    mine: bool = connection.execute(
        text("SELECT pg_try_advisory_lock(:key, hashtext(:account))"),
        {"key": _ONE_STREAM, "account": account},
    ).scalar_one()
    return mine


async def keep_stream(session: Session, symbols: tuple[str, ...]) -> None:
    """Run until cancelled; a part that fails ends all, so that the supervisor starts it anew."""
    health, events = Health(), asyncio.Queue[tuple[int, StreamEvent]]()
    parts = [
        symbols[start : start + STREAMS_A_CONNECTION]
        for start in range(0, len(symbols), STREAMS_A_CONNECTION)
    ]
    missed = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for number, part in enumerate(parts):
            group.create_task(_listen(session, number, part, events))
        group.create_task(_store(session, events, health, missed))
        group.create_task(_catch_up(session, symbols, missed))
        group.create_task(_beat(session, health))


async def _listen(session: Session, number: int, symbols: tuple[str, ...], events: asyncio.Queue) -> None:
    settings = session.settings
    async for event in candle_events(settings.stream_url, symbols, settings.stream.silence_seconds):
        await events.put((number, event))


async def _store(session: Session, events: asyncio.Queue, health: Health, missed: asyncio.Event) -> None:
    log = get_run_logger()
    while True:
        batch = [await events.get()]
        await asyncio.sleep(_GATHER_SECONDS)
        while not events.empty():
            batch.append(events.get_nowait())
        for number, event in batch:
            if isinstance(event, Lost):
                health.reconnects += 1
                health.connected[number], health.reason = False, event.reason
                log.warning("stream %d lost: %s", number, event.reason)
            elif isinstance(event, Connected):
                health.connected[number] = True
                missed.set()
        await _admit(session, [event for _, event in batch if isinstance(event, ClosedCandle)], health)


async def _admit(session: Session, candles: list[ClosedCandle], health: Health) -> None:
    if not candles:
        return
    frames = [candle_frame(candle.symbol, [candle.kline]) for candle in candles]
    now = max(
        session.now_ms, *(candle.said_ms for candle in candles)
    )  # a frame may outrun our estimate of the clock
    await asyncio.to_thread(admit, session.engine, frames, "ws", now, session.flow_run)
    health.candles += len(candles)
    health.last |= {candle.symbol: candle.kline[0] for candle in candles}


async def _catch_up(session: Session, symbols: tuple[str, ...], missed: asyncio.Event) -> None:
    """Over REST, after each connection and shortly after each close, what no frame has brought."""
    log = get_run_logger()
    while True:
        try:
            await _fetch_missing(session, symbols)
        except (ExchangeError, EightbellsError) as error:
            log.warning("could not catch up: %s", error)
            await asyncio.sleep(_RETRY_SECONDS)
            continue
        now = session.now_ms
        due = grid.closes_at(grid.floor(now)) / 1000 + _AFTER_CLOSE_SECONDS - now / 1000
        missed.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(missed.wait(), due)
        if session.gateway.clock.is_stale:
            await session.gateway.sync_clock()


async def _fetch_missing(session: Session, symbols: tuple[str, ...]) -> None:
    last = grid.last_closed(session.now_ms)
    pages = [page for symbol in symbols for page in pages_to(session, symbol, last)]
    async for _, outcome in fetch_pages(session.gateway, pages):
        if isinstance(outcome, ExchangeError):
            raise outcome
        await asyncio.to_thread(admit, session.engine, [outcome], "rest", session.now_ms, session.flow_run)


async def _beat(session: Session, health: Health) -> None:
    while True:
        last = max(health.last.values(), default=None)
        row = {
            "connections": len(health.connected),
            "connected": sum(health.connected.values()),
            "candles stored": health.candles,
            "last candle": "none yet" if last is None else grid.label(last),
            "reconnects": health.reconnects,
            "last loss": health.reason or "none",
        }
        await acreate_table_artifact([row], key="stream-heartbeat", description="The stream is alive.")
        await asyncio.sleep(session.settings.stream.heartbeat_seconds)

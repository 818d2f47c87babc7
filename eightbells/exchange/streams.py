"""Closed candles from Binance's combined streams, over connections that are made anew for ever."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from eightbells.candles import grid

STREAMS_A_CONNECTION = 1024
_NAMES_A_MESSAGE = 200
_MESSAGES_A_SECOND = 4  # the exchange allows five
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0


@dataclass(frozen=True)
class ClosedCandle:
    """A candle whose frame said that it is closed, as a kline of the REST answer, and the exchange's time of saying."""

    symbol: str
    kline: list[Any]
    said_ms: int


@dataclass(frozen=True)
class Connected:
    """The streams flow; what closed before must be asked for over REST: it is never replayed."""

    symbols: tuple[str, ...]


@dataclass(frozen=True)
class Lost:
    """The connection is gone, and why."""

    reason: str


StreamEvent = ClosedCandle | Connected | Lost


async def candle_events(
    url: str, symbols: Sequence[str], silence_seconds: float
) -> AsyncIterator[StreamEvent]:
    """Events of one connection's symbols, without end: a lost connection is made again after a growing wait.

    Args:
        url: the stream address with its slash at the end.
        symbols: at most 1,024.
        silence_seconds: without a message for so long the connection counts as dead, though it answers pings.
    """
    wait = _FIRST_WAIT
    while True:
        reason = "closed by the exchange"
        try:
            async with connect(f"{url}stream", open_timeout=10, close_timeout=2, max_queue=None) as socket:
                await _subscribe(socket, symbols)
                yield Connected(tuple(symbols))
                async for event in _closed(socket, silence_seconds):
                    wait = _FIRST_WAIT
                    yield event
        except TimeoutError:
            reason = f"silent for {silence_seconds:g} s"
        except (OSError, WebSocketException) as error:  # refused, reset, 403, 429, 5xx
            reason = f"{type(error).__name__}: {error}"[:200]
        yield Lost(reason)
        await asyncio.sleep(wait * random.uniform(0.5, 1.5))
        wait = min(wait * 2, _LONGEST_WAIT)


async def _subscribe(socket: ClientConnection, symbols: Sequence[str]) -> None:
    names = [f"{symbol.lower()}@kline_{grid.INTERVAL}" for symbol in symbols]
    for number, start in enumerate(range(0, len(names), _NAMES_A_MESSAGE)):
        request = {"method": "SUBSCRIBE", "params": names[start : start + _NAMES_A_MESSAGE], "id": number + 1}
        await socket.send(json.dumps(request))
        await asyncio.sleep(1 / _MESSAGES_A_SECOND)


async def _closed(socket: ClientConnection, silence_seconds: float) -> AsyncIterator[ClosedCandle]:
    while True:
        frame = await asyncio.wait_for(socket.recv(), silence_seconds)
        if candle := closed_candle(frame):
            yield candle


def closed_candle(frame: str | bytes) -> ClosedCandle | None:
    """The closed candle that a combined frame carries; None for anything else, garbage among it."""
    try:
        data = json.loads(frame)["data"]
        kline = data["k"]
        if kline["x"] is not True or kline["i"] != grid.INTERVAL:
            return None
        fields = [kline[name] for name in ("t", "o", "h", "l", "c", "v", "T", "q", "n", "V", "Q", "B")]
        return ClosedCandle(str(kline["s"]), fields, int(data["E"]))
    except (ValueError, KeyError, TypeError):
        return None

"""Closed candles from Binance's combined streams, over connections that are made anew for ever."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus, WebSocketException

from eightbells.candles import grid

STREAMS_A_CONNECTION = 1024
_NAMES_A_MESSAGE = 200
_PAUSE_SECONDS = 0.25  # the exchange allows five messages in a second
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0  # 300 attempts in five minutes are allowed, all connections together
_CLOSED = b'"x":true'  # only frames that carry it are parsed: two thousand open ones come for each


@dataclass(frozen=True)
class ClosedCandle:
    """A candle whose frame said that it is closed, as a kline of the REST answer, and the exchange's time of saying."""

    symbol: str
    kline: list[Any]
    said_ms: int


@dataclass(frozen=True)
class Connected:
    """The streams flow; what closed before must be asked for over REST: it is never replayed."""


@dataclass(frozen=True)
class Lost:
    """A connection is gone, and why: a word for the metric, a sentence for people."""

    reason: str
    detail: str


StreamEvent = ClosedCandle | Connected | Lost


@dataclass
class Feed:
    """The candles of up to 1,024 symbols. Whatever ends a connection, another follows after a growing wait.

    Before the exchange ends a connection by age a second one takes over, and both live for a while, so that no
    frame falls between them; the store takes a candle that comes twice as one.

    Args:
        url: the stream address with its slash at the end.
        put: called with every event, in the order of arrival.
        silence_seconds: without a message for so long a connection counts as dead, though it answers pings.
        rotate_seconds: age at which another connection takes over.
    """

    url: str
    symbols: set[str]
    put: Callable[[StreamEvent], None]
    silence_seconds: float
    rotate_seconds: float
    overlap_seconds: float = 2.0
    messages: int = 0
    heard_at: float = 0.0
    _socket: ClientConnection | None = None
    _requests: int = 0
    _changing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _connections: set[asyncio.Task[Lost]] = field(default_factory=set)

    async def run(self) -> None:
        """Stream until cancelled."""
        current: asyncio.Task[Lost] | None = None
        wait = _FIRST_WAIT
        try:
            while True:
                fresh = await self._connect()
                if current is not None and current.done():
                    self.put(current.result())
                    current = None
                if fresh.done():
                    self.put(fresh.result())
                else:
                    self.put(Connected())
                    await self._retire(current)
                    current, wait = fresh, _FIRST_WAIT
                    await asyncio.wait({current}, timeout=self.rotate_seconds)
                    if not current.done():
                        continue  # old enough: the next one takes over
                    self.put(current.result())
                    current = None
                await asyncio.sleep(wait * random.uniform(0.5, 1.5))
                wait = min(wait * 2, _LONGEST_WAIT)
        finally:
            for connection in self._connections:
                connection.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connect(self) -> asyncio.Task[Lost]:
        """A connection that is subscribed, or one that has failed already."""
        ready = asyncio.Event()
        connection = asyncio.create_task(self._stream(ready))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)
        waiter = asyncio.create_task(ready.wait())
        await asyncio.wait({connection, waiter}, return_when=asyncio.FIRST_COMPLETED)
        waiter.cancel()
        return connection

    async def _retire(self, connection: asyncio.Task[Lost] | None) -> None:
        if connection is not None:
            await asyncio.sleep(self.overlap_seconds)
            connection.cancel()

    async def change(self, symbols: Iterable[str]) -> None:
        """Stream other symbols over the connection there is."""
        async with self._changing:
            wanted = set(symbols)
            gone, new = self.symbols - wanted, wanted - self.symbols
            self.symbols = wanted
            if self._socket is not None:
                await self._ask(self._socket, "UNSUBSCRIBE", sorted(gone))
                await self._ask(self._socket, "SUBSCRIBE", sorted(new))

    async def _stream(self, ready: asyncio.Event) -> Lost:
        """One connection from its making to its end, which is the result."""
        try:
            async with connect(
                f"{self.url}stream", open_timeout=10, close_timeout=1, max_queue=4096
            ) as socket:
                async with self._changing:
                    await self._ask(socket, "SUBSCRIBE", sorted(self.symbols))
                    self._socket = socket
                ready.set()
                return await self._read(socket)
        except TimeoutError:
            return Lost("silence", f"no message for {self.silence_seconds:g} s")
        except InvalidStatus as error:
            return Lost(
                f"http-{error.response.status_code}", f"refused with HTTP {error.response.status_code}"
            )
        except (OSError, WebSocketException) as error:
            return Lost("closed", f"{type(error).__name__}: {error}"[:200])

    async def _read(self, socket: ClientConnection) -> Lost:
        """Read until the end. The watch is kept beside the loop: a timer for each frame would halve its speed."""
        reader = asyncio.ensure_future(self._frames(socket))
        self.heard_at = time.monotonic()
        try:
            while True:
                left = self.heard_at + self.silence_seconds - time.monotonic()
                if left <= 0:
                    raise TimeoutError
                done, _ = await asyncio.wait({reader}, timeout=left)
                if done:
                    return reader.result()
        finally:
            reader.cancel()

    async def _frames(self, socket: ClientConnection) -> Lost:
        while True:
            frame = await socket.recv(decode=False)
            self.messages += 1
            self.heard_at = time.monotonic()
            if _CLOSED in frame:
                if candle := closed_candle(frame):
                    self.put(candle)
            elif b'"serverShutdown"' in frame:
                return Lost("server-shutdown", "the exchange announced that it ends the connection")

    async def _ask(self, socket: ClientConnection, method: str, symbols: list[str]) -> None:
        names = [f"{symbol.lower()}@kline_{grid.INTERVAL}" for symbol in symbols]
        for start in range(0, len(names), _NAMES_A_MESSAGE):
            self._requests += 1
            request = {
                "method": method,
                "params": names[start : start + _NAMES_A_MESSAGE],
                "id": self._requests,
            }
            await socket.send(orjson.dumps(request).decode())
            await asyncio.sleep(_PAUSE_SECONDS)


def closed_candle(frame: str | bytes) -> ClosedCandle | None:
    """The closed candle that a combined frame carries; None for anything else, garbage among it."""
    try:
        data = orjson.loads(frame)["data"]
        kline = data["k"]
        if kline["x"] is not True or kline["i"] != grid.INTERVAL:
            return None
        fields = [kline[name] for name in ("t", "o", "h", "l", "c", "v", "T", "q", "n", "V", "Q", "B")]
        return ClosedCandle(str(kline["s"]), fields, int(data["E"]))
    except (ValueError, KeyError, TypeError):
        return None

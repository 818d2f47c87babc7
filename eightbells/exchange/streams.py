"""Closed candles from Binance's combined streams, over connections that are replaced before they expire."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import InvalidStatus, WebSocketException

from eightbells.backoff import wait_after
from eightbells.candles import grid
from eightbells.exchange.sockets import open_socket

STREAMS_A_CONNECTION = 1024
_NAMES_A_MESSAGE = 200
_PAUSE_SECONDS = 0.25  # the exchange allows five messages in a second
_MOST_GARBAGE = 20  # frames in a row that are not whole: such a connection is given up
_CLOSED = b'"x":true'  # only frames that carry it are parsed: two thousand open ones come for each
_LATEST_MS = 2**45  # the year 3084
_SHUTDOWN = b'"serverShutdown"'


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


@dataclass(frozen=True)
class Pace:
    """How patient connections are, in seconds.

    Args:
        silence: without a message for so long a connection counts as dead, though it answers pings.
        rotate: age at which another connection takes over.
        overlap: how long both live then, so that no frame falls between them.
        first_wait: before the first new attempt; each further wait is twice as long, up to `longest_wait`.
        steady: a connection that lived so long was sound: the waits begin again. With shorter lives they go on
            growing, so that one feed makes 20 attempts in five minutes at most, of the 300 that are allowed.
    """

    silence: float = 30.0
    rotate: float = 23 * 3600.0
    overlap: float = 2.0
    first_wait: float = 0.5
    longest_wait: float = 30.0
    steady: float = 60.0


class Waits:
    """Growing, jittered waits between attempts."""

    def __init__(self, pace: Pace) -> None:
        self._pace, self._failures, self._since = pace, 0, float("inf")

    def begin(self) -> None:
        """An attempt has succeeded."""
        self._since = time.monotonic()

    def next(self) -> float:
        """How long to wait before the next attempt."""
        if time.monotonic() - self._since >= self._pace.steady:
            self._failures = 0
        self._failures, self._since = self._failures + 1, float("inf")
        return wait_after(self._failures, self._pace.first_wait, self._pace.longest_wait) * random.uniform(
            0.5, 1.5
        )


@dataclass
class Feed:
    """The candles of up to 1,024 symbols. Whatever ends a connection, another follows after a growing wait.

    Before the exchange ends a connection by age a second one takes over, and both live for a while; the store
    takes a candle that comes twice as one.

    Args:
        url: the stream address with its slash at the end.
        put: called with every event, in the order of arrival.
    """

    url: str
    symbols: set[str]
    put: Callable[[StreamEvent], None]
    pace: Pace = field(default_factory=Pace)
    messages: int = 0
    heard_at: float = 0.0
    rotations: int = 0
    _subscribed: int = 0
    _socket: ClientConnection | None = None
    _requests: int = 0
    _changing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _connections: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def is_connected(self) -> bool:
        return self._subscribed > 0

    async def run(self) -> None:
        """Stream until cancelled."""
        current: asyncio.Task[None] | None = None
        waits = Waits(self.pace)
        try:
            while True:
                fresh = await self._connect()
                if not fresh.done():
                    waits.begin()
                    self._retire(current)
                    current = fresh
                    await asyncio.wait({current}, timeout=self.pace.rotate)
                    if not current.done():
                        continue  # old enough: the next one takes over
                await _sleep(waits.next(), current)
        finally:
            for connection in self._connections:
                connection.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connect(self) -> asyncio.Task[None]:
        """A connection that is subscribed, or one that has failed already."""
        ready = asyncio.Event()
        connection = asyncio.create_task(self._stream(ready))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)
        waiter = asyncio.create_task(ready.wait())
        try:
            await asyncio.wait({connection, waiter}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiter.cancel()
        return connection

    def _retire(self, connection: asyncio.Task[None] | None) -> None:
        if connection is not None and not connection.done():
            self.rotations += 1
            asyncio.get_running_loop().call_later(self.pace.overlap, connection.cancel)

    async def change(self, symbols: Iterable[str]) -> None:
        """Stream other symbols over the connection there is; one that is just lost is made again with them."""
        async with self._changing:
            wanted = set(symbols)
            gone, new = self.symbols - wanted, wanted - self.symbols
            self.symbols = wanted
            try:
                if self._socket is not None:
                    await self._ask(self._socket, "UNSUBSCRIBE", sorted(gone))
                    await self._ask(self._socket, "SUBSCRIBE", sorted(new))
            except (OSError, WebSocketException):
                return  # its reader sees the same and makes another

    async def _stream(self, ready: asyncio.Event) -> None:
        """One connection from its making to its end, which is told."""
        self.put(await self._lived(ready))

    async def _lived(self, ready: asyncio.Event) -> Lost:
        try:
            # compression costs more than it saves: the exchange sends half a megabyte in a second
            async with open_socket(
                f"{self.url}stream", open_timeout=10, max_queue=4096, compression=None
            ) as socket:
                async with self._changing:
                    await self._ask(socket, "SUBSCRIBE", sorted(self.symbols))
                    self._socket = socket
                self._subscribed += 1
                self.put(Connected())
                ready.set()
                try:
                    return await self._read(socket)
                finally:
                    self._subscribed -= 1
        except TimeoutError:
            return Lost("silence", f"no message for {self.pace.silence:g} s")
        except InvalidStatus as error:
            status = error.response.status_code
            return Lost(f"http-{status}", f"refused with HTTP {status}")
        except (OSError, WebSocketException) as error:
            return Lost("closed", f"{type(error).__name__}: {error}"[:200])

    async def _read(self, socket: ClientConnection) -> Lost:
        """Read until the end. The watch is kept beside the loop: a timer for each frame would halve its speed."""
        watch = _Watch()
        reader = asyncio.ensure_future(self._frames(socket, watch))
        try:
            while True:
                left = watch.heard_at + self.pace.silence - time.monotonic()
                if left <= 0:
                    raise TimeoutError
                done, _ = await asyncio.wait({reader}, timeout=left)
                if done:
                    return reader.result()
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)

    async def _frames(self, socket: ClientConnection, watch: _Watch) -> Lost:
        garbage = 0
        while True:
            frame = await socket.recv(decode=False)
            self.messages += 1
            watch.heard_at = self.heard_at = time.monotonic()
            if _CLOSED in frame and (candle := closed_candle(frame)):
                self.put(candle)
            elif frame[-1:] != b"}":
                garbage += 1
                if garbage >= _MOST_GARBAGE:
                    return Lost("garbage", f"{garbage} frames in a row could not be read")
                continue
            elif _SHUTDOWN in frame:
                return Lost("server-shutdown", "the exchange announced that it ends the connection")
            elif frame.startswith(b'{"error"'):
                return Lost("subscription", f"refused: {frame[:200].decode(errors='replace')}")
            garbage = 0

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


@dataclass
class _Watch:
    """When a connection was last heard."""

    heard_at: float = field(default_factory=time.monotonic)


async def _sleep(seconds: float, unless_ends: asyncio.Task[None] | None) -> None:
    """Wait so long, or until the connection that still lives ends."""
    if unless_ends is None or unless_ends.done():
        await asyncio.sleep(seconds)
    else:
        await asyncio.wait({unless_ends}, timeout=seconds)


def closed_candle(frame: str | bytes) -> ClosedCandle | None:
    """The closed candle that a combined frame carries; None for anything else, garbage among it."""
    try:
        data = orjson.loads(frame)["data"]
        kline = data["k"]
        if kline["x"] is not True or kline["i"] != grid.INTERVAL:
            return None
        if not (isinstance(kline["s"], str) and _is_time(kline["t"]) and _is_time(data["E"])):
            return None  # of which symbol and candle it is, or when it was sent, cannot be told
        fields = [kline[name] for name in ("t", "o", "h", "l", "c", "v", "T", "q", "n", "V", "Q", "B")]
        return ClosedCandle(kline["s"], fields, data["E"])
    except (ValueError, KeyError, TypeError):
        return None


def _is_time(value: object) -> bool:
    """Whether it is a time in ms that any clock can show."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LATEST_MS

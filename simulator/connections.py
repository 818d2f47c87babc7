"""One WebSocket connection, of the streams or of the WebSocket API: sending, pings, limits, and its faults."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import ClassVar

import aiohttp
from aiohttp import web

from simulator.exchange import Exchange
from simulator.faults import FRAME_FAULTS, GOING_AWAY, Fault
from simulator.wire import cut, dump

QUEUE = 200_000  # frames that may wait for a slow reader before it is cut off
PONG_WITHIN = 60.0
REFUSED = {403: "Forbidden", 429: "Too Many Requests", 503: "Service Unavailable"}


class Connection:
    """A connected client; subclasses say what its messages mean."""

    channel: ClassVar[str] = ""
    messages_a_second: ClassVar[int | None] = None

    def __init__(self, exchange: Exchange, request: web.Request):
        self.exchange = exchange
        self.request = request
        self.ip = request.remote or ""
        self.socket = web.WebSocketResponse(autoping=False, compress=False, max_msg_size=2**20)
        self.opened = exchange.clock.now()
        self.silent = self.half_open = False
        self._queue: asyncio.Queue[str] = asyncio.Queue(QUEUE)
        self._held: str | None = None
        self._received: deque[float] = deque(maxlen=(self.messages_a_second or 0) + 1)
        self._pinged: float | None = None

    # What subclasses are for

    def streams(self) -> list[str]:
        """Names that stream faults can be matched with."""
        return []

    async def heard(self, text: str) -> None:
        """Act on a message."""

    # Living

    async def serve(self) -> web.StreamResponse:
        """Talk until one side ends it."""
        if (status := self._refused()) is not None:
            return web.Response(status=status, text=REFUSED.get(status, "refused"))
        await self.socket.prepare(self.request)
        tasks = [asyncio.create_task(self._write()), asyncio.create_task(self._ping())]
        try:
            await self._read()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return self.socket

    def _refused(self) -> int | None:
        fault = self.exchange.faults.for_stream(self._facts(""), frozenset({"refuse"}))
        if fault is not None:
            return int(fault.action.get("status", 503))
        return None if self.exchange.limits.may_connect(self.ip) else 429

    async def _read(self) -> None:
        while not self.socket.closed:
            message = await self.socket.receive()
            if self.half_open:
                await asyncio.Event().wait()
            if message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED):
                return
            if message.type == aiohttp.WSMsgType.ERROR or self._too_fast():
                await self.socket.close(code=1008, message=b"Too many requests")
                return
            await self._take(message)

    async def _take(self, message: aiohttp.WSMessage) -> None:
        if message.type == aiohttp.WSMsgType.PING:
            await self.socket.pong(message.data)
        elif message.type == aiohttp.WSMsgType.PONG:
            self._pinged = None
        elif message.type == aiohttp.WSMsgType.TEXT and not self.silent:
            await self.heard(message.data)

    def _too_fast(self) -> bool:
        """Whether more messages, pings and pongs among them, came within a second than may."""
        if self.messages_a_second is None or not self.exchange.settings.limits:
            return False
        self._received.append(time.monotonic())
        full = len(self._received) > self.messages_a_second
        return full and self._received[-1] - self._received[0] < 1.0

    async def _write(self) -> None:
        while True:
            frame = await self._queue.get()
            if not self.half_open:
                try:
                    await self.socket.send_str(frame)
                except ConnectionError:
                    return
            self._queue.task_done()

    async def _ping(self) -> None:
        """Ping at intervals; cut off a client that has not answered within a minute."""
        while not self.half_open:
            await asyncio.sleep(self.exchange.settings.ping_interval)
            if self._pinged is not None and time.monotonic() - self._pinged > PONG_WITHIN:
                cut(self.request.transport)
                return
            if not self.half_open:
                self._pinged = self._pinged or time.monotonic()
                await self.socket.ping(str(self.exchange.clock.now()).encode())

    async def end(self, code: int, reason: bytes) -> None:
        """Close the connection once everything queued has been sent."""
        async with asyncio.timeout(1.0):
            await self._queue.join()
        await self.socket.close(code=code, message=reason)

    # Sending

    def send(self, frame: str) -> None:
        """Queue a frame; a client too slow to read is cut off."""
        if self.silent or self.half_open:
            return
        try:
            self._queue.put_nowait(frame)
        except asyncio.QueueFull:
            cut(self.request.transport)

    def tell(self, stream: str, frame: str, closes: bool = False) -> None:
        """Send an event of a stream, unless a fault does something else with it."""
        held, self._held = self._held, None
        for text in self._distorted(stream, frame, closes):
            self.send(text)
        if held is not None:
            self.send(held)

    def _distorted(self, stream: str, frame: str, closes: bool) -> list[str]:
        if not self.exchange.faults.active:
            return [frame]
        kinds = FRAME_FAULTS if closes else FRAME_FAULTS - {"missing_close"}
        fault = self.exchange.faults.for_stream(self._facts(stream), kinds)
        if fault is None:
            return [frame]
        if fault.stream == "out_of_order":
            self._held = frame
        return {"duplicate": [frame, frame], "garbage": [frame[: len(frame) // 2]]}.get(
            fault.stream or "", []
        )

    def _facts(self, stream: str) -> dict[str, str]:
        return {"channel": self.channel, "stream": stream, "path": self.request.path}

    # Faults of the whole connection

    def met_by(self, fault: Fault) -> bool:
        names = self.streams() or [""]
        return any(fault.meets(self._facts(name)) for name in names)

    async def suffer(self, kind: str, code: int = GOING_AWAY) -> None:
        """Carry out a fault of the connection; one that closes it does so with the code."""
        if kind == "close":
            await self.socket.close(code=code, message=b"going away")
        elif kind == "reset":
            cut(self.request.transport)
        elif kind == "half_open":
            self.half_open = True
        elif kind == "silent":
            self.silent = True
        elif kind == "server_shutdown":
            self.send(self.shutdown_notice())

    def shutdown_notice(self) -> str:
        return dump({"e": "serverShutdown", "E": self.exchange.clock.now()})

"""Market data streams: raw and combined connections, subscriptions, and the hub that tells them what happens."""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from typing import Any

from aiohttp import web

from simulator import book, intervals, time_units
from simulator.connections import Connection
from simulator.errors import Refusal
from simulator.exchange import Exchange
from simulator.faults import GOING_AWAY, Fault
from simulator.frames import KLINE_PACE, Stream, closed_kline, update
from simulator.wire import dump

MOST_STREAMS = 1024
MOST_CLOSES = 10_000  # candles of an interval that are told after one leap of the clock
METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")


class MarketConnection(Connection):
    """A client of /ws or /stream."""

    channel = "stream"
    messages_a_second = 5

    def __init__(self, hub: Hub, request: web.Request, names: list[str], combined: bool):
        super().__init__(hub.exchange, request)
        self.in_microseconds = time_units.wanted(request.query.get("timeUnit"))
        self.hub = hub
        self.combined = combined
        self.subscribed: dict[str, Stream] = {}
        self.subscribe(names)

    def streams(self) -> list[str]:
        return list(self.subscribed)

    def subscribe(self, names: list[str]) -> None:
        for name in names:
            stream = Stream.named(name)
            if stream is not None:
                self.subscribed[name] = stream
                self.hub.listeners[stream].add(self)
        self.hub.nudge.set()

    def unsubscribe(self, names: list[str]) -> None:
        for name in names:
            stream = self.subscribed.pop(name, None)
            if stream is not None:
                self.hub.forget(stream, self)

    def event(self, stream: str, data: str, closes: bool = False) -> None:
        if self.in_microseconds:
            data = time_units.of_event(data)
        frame = f'{{"stream":"{stream}","data":{data}}}' if self.combined else data
        self.tell(stream, frame, closes)

    def shutdown_notice(self) -> str:
        notice = super().shutdown_notice()
        notice = time_units.of_event(notice) if self.in_microseconds else notice
        return f'{{"stream":"serverShutdown","data":{notice}}}' if self.combined else notice

    async def heard(self, text: str) -> None:
        try:
            request = json.loads(text)
        except ValueError:
            self.send(dump({"error": {"code": 3, "msg": "Invalid JSON: expected value at line 1 column 1"}}))
            return
        number = request.get("id") if isinstance(request, dict) else None
        try:
            self.send(dump({"result": self._obey(request), "id": number}))
        except BadRequest as problem:
            self.send(dump({"error": {"code": problem.code, "msg": str(problem)}, "id": number}))

    def _obey(self, request: Any) -> Any:
        if not isinstance(request, dict) or "method" not in request:
            raise BadRequest(2, "Invalid request: missing field `method`")
        method, params = request["method"], request.get("params", [])
        if method not in METHODS:
            known = ", ".join(f"`{name}`" for name in METHODS)
            raise BadRequest(2, f"Invalid request: unknown variant `{method}`, expected one of {known}")
        if method == "LIST_SUBSCRIPTIONS":
            return list(self.subscribed)
        if not isinstance(params, list) or not params:
            raise BadRequest(2, "Invalid request: params must be a list")
        if method in ("SET_PROPERTY", "GET_PROPERTY"):
            return self._property(method, params)
        return self._change(method, [str(name) for name in params])

    def _property(self, method: str, params: list[Any]) -> Any:
        if params[0] != "combined":
            raise BadRequest(0, "Unknown property")
        if method == "GET_PROPERTY":
            return self.combined
        if len(params) < 2 or not isinstance(params[1], bool):
            raise BadRequest(1, "Invalid value type: expected Boolean")
        self.combined = params[1]
        return None

    def _change(self, method: str, names: list[str]) -> None:
        if method == "UNSUBSCRIBE":
            self.unsubscribe(names)
            return
        if len({*self.subscribed, *names}) > MOST_STREAMS:
            raise BadRequest(2, f"Invalid request: at most {MOST_STREAMS} streams for a connection")
        self.subscribe(names)


class BadRequest(Exception):
    """A message on a stream that cannot be obeyed."""

    def __init__(self, code: int, msg: str):
        super().__init__(msg)
        self.code = code


class Hub:
    """Tells every connection what its streams say: updates at intervals, closed candles when they close."""

    def __init__(self, exchange: Exchange):
        self.exchange = exchange
        self.listeners: defaultdict[Stream, set[MarketConnection]] = defaultdict(set)
        self.connections: set[Connection] = set()
        self.nudge = asyncio.Event()
        self._told_until = exchange.clock.now()
        self._told_at: dict[int, float] = {}
        self._books: dict[Stream, book.Touch] = {}
        self._suffering: set[asyncio.Task[None]] = set()

    def forget(self, stream: Stream, connection: MarketConnection) -> None:
        self.listeners[stream].discard(connection)
        if not self.listeners[stream]:
            del self.listeners[stream]
            self._books.pop(stream, None)

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """Serve /ws, /ws/<stream> and /stream?streams=<stream>/<stream>."""
        combined = request.path.startswith("/stream")
        text = request.query.get("streams", "") if combined else request.match_info.get("streams", "")
        names = [name for name in text.split("/") if name]
        if len(names) > MOST_STREAMS:
            return web.Response(status=400, text=f"at most {MOST_STREAMS} streams for a connection")
        try:
            connection = MarketConnection(self, request, names, combined)
        except Refusal as refusal:
            return web.json_response(refusal.body(), status=refusal.status)
        self.connections.add(connection)
        try:
            return await connection.serve()
        finally:
            connection.unsubscribe(connection.streams())
            self.connections.discard(connection)

    async def run(self) -> None:
        """Go on telling until cancelled."""
        while True:
            now = self.exchange.now()
            self.tell_closes(now)
            self._end_old(now)
            wait = min(self._tell_due(now), self._until_close(now))
            try:
                async with asyncio.timeout(max(wait, 0.001)):
                    await self.nudge.wait()
            except TimeoutError:
                continue
            self.nudge.clear()

    def _tell_due(self, now: int) -> float:
        """Tell of every stream whose turn it is; returns the real seconds until the next one's."""
        at, share = time.monotonic(), self.exchange.settings.stream_interval / KLINE_PACE
        next_at = at + self.exchange.settings.stream_interval
        for pace in {stream.pace for stream in self.listeners}:
            if at >= self._told_at.get(pace, 0.0) + pace * share:
                self._told_at[pace] = at
                self._tell_updates(now, pace)
            next_at = min(next_at, self._told_at[pace] + pace * share)
        return next_at - at

    def _kline_intervals(self) -> set[str]:
        return {stream.interval for stream in self.listeners if stream.kind == "kline"}

    def _until_close(self, now: int) -> float:
        """Real seconds until the next candle that somebody listens to closes."""
        speed = self.exchange.clock.speed
        if not speed:
            return 3600.0
        opens = (intervals.following(i, intervals.opening(i, now)) for i in self._kline_intervals())
        return min(((time - now) / 1000 / speed for time in opens), default=3600.0)

    def tell_closes(self, now: int) -> None:
        """Tell of every candle that closed since the last time, in order of closing."""
        since, self._told_until = self._told_until, now
        closed = sorted(
            (following, interval, open_time)
            for interval in self._kline_intervals()
            for open_time, following in _closed_between(interval, since, now)
        )
        for _, interval, open_time in closed:
            for stream, connections in list(self.listeners.items()):
                if stream.interval == interval and stream.kind == "kline":
                    data = closed_kline(self.exchange.market, stream, open_time)
                    for connection in connections if data else ():
                        connection.event(stream.name, data or "", closes=True)

    def _tell_updates(self, now: int, pace: int) -> None:
        for stream, connections in list(self.listeners.items()):
            if stream.pace != pace:
                continue
            differs = stream.kind == "depth" and not stream.levels
            data = self._book_update(stream, now) if differs else update(self.exchange.market, stream, now)
            if data is not None:
                for connection in connections:
                    connection.event(stream.name, data)

    def _book_update(self, stream: Stream, now: int) -> str | None:
        """What has changed in a book since the stream last told of it."""
        market = self.exchange.market
        at = book.touch(market, stream.symbol, now) if stream.symbol in market.symbols.rules else None
        before = self._books.get(stream)
        if at is not None:
            self._books[stream] = at
        changes = book.update(market, stream.symbol, before, at) if before and at else None
        return dump(changes) if changes else None

    def _end_old(self, now: int) -> None:
        longest = self.exchange.settings.connection_seconds * 1000
        for connection in self.connections:
            if now - connection.opened >= longest:
                self._let_suffer(connection, "close")

    def inflict(self, fault: Fault) -> None:
        """Carry out a fault of connections on those that are open."""
        for connection in list(self.connections):
            if connection.met_by(fault) and fault.fires():
                self._let_suffer(connection, fault.stream or "", fault.action.get("code", GOING_AWAY))

    def _let_suffer(self, connection: Connection, kind: str, code: int = GOING_AWAY) -> None:
        task = asyncio.create_task(connection.suffer(kind, code))
        self._suffering.add(task)
        task.add_done_callback(self._suffering.discard)


def _closed_between(interval: str, since: int, now: int) -> list[tuple[int, int]]:
    """(open time, end) of the candles whose end lies after `since` and not after `now`, the newest of them."""
    found: list[tuple[int, int]] = []
    end = intervals.opening(interval, now)
    while end > since and len(found) < MOST_CLOSES:
        open_time = intervals.opening(interval, end - 1)
        found.append((open_time, end))
        end = open_time
    return found

"""Market data passed through from a real exchange, while accounts and orders are simulated here: paper trading.

The engine follows the upstream's last prices; requests for market data and streams are handed on as they are.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
from aiohttp import web

from simulator.candles import scaled
from simulator.connections import Connection
from simulator.errors import Refusal
from simulator.exchange import Exchange
from simulator.market import Market
from simulator.proxies import way_to
from simulator.streams import Hub
from simulator.symbols import SymbolTable

KNOWN_STREAMS = {
    "data-api.binance.vision": "wss://data-stream.binance.vision",
    "api.binance.com": "wss://stream.binance.com:9443",
    "testnet.binance.vision": "wss://stream.testnet.binance.vision",
    "demo-api.binance.com": "wss://demo-stream.binance.com",
}
PASSED = (
    "ping",
    "exchangeInfo",
    "klines",
    "uiKlines",
    "avgPrice",
    "depth",
    "trades",
    "aggTrades",
    "historicalTrades",
)
PATIENCE = aiohttp.ClientTimeout(total=10)
POLL = 1.0  # real seconds between two looks at the prices that orders wait for
RESYNC = 600.0


def streams_of(url: str) -> str:
    """Where an exchange's streams are, from where its REST API is."""
    parts = urlsplit(url)
    return KNOWN_STREAMS.get(parts.netloc, f"{'wss' if parts.scheme == 'https' else 'ws'}://{parts.netloc}")


class Upstream:
    """The real exchange, as a source of market data."""

    def __init__(self, url: str):
        self.url = url.rstrip("/").removesuffix("/api")
        self.streams = streams_of(self.url)
        self._way, self.way_of_streams = way_to(self.url), way_to(self.streams)
        self._session: aiohttp.ClientSession | None = None

    @property
    def session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=PATIENCE)
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def read(self, path: str) -> Any:
        """A JSON answer; ValueError with a sentence when there is none."""
        try:
            async with self.session.get(self.url + path, **self._way) as response:
                if response.status != 200:
                    raise ValueError(f"{self.url} answers {response.status}: {(await response.text())[:200]}")
                return await response.json()
        except (aiohttp.ClientError, TimeoutError, json.JSONDecodeError) as problem:
            raise ValueError(f"{self.url} cannot be read: {problem or type(problem).__name__}") from None

    @classmethod
    def open_market(cls, url: str) -> tuple[Market, int]:
        """The market of an upstream, without candles of its own, and the upstream's time."""
        return asyncio.run(cls(url)._open_market())

    async def _open_market(self) -> tuple[Market, int]:
        try:
            info = await self.read("/api/v3/exchangeInfo")
            return Market({}, SymbolTable(info["symbols"], info["rateLimits"])), int(info["serverTime"])
        except (KeyError, TypeError):
            raise ValueError(f"{self.url} does not answer like an exchange") from None
        finally:
            await self.close()

    # Prices and time

    async def refresh(self, exchange: Exchange, symbols: list[str]) -> None:
        """Bring some symbols' last prices up to date, and match the orders that wait for them."""
        query = quote(json.dumps(symbols, separators=(",", ":"), ensure_ascii=False), safe="")
        for ticker in await self.read(f"/api/v3/ticker/price?symbols={query}"):
            symbol, price = ticker["symbol"], scaled(ticker["price"])
            if exchange.market.fixed.get(symbol) != price:
                exchange.market.fixed[symbol] = price
                exchange.engine.look_again(symbol, exchange.clock.now())
        exchange.now()

    async def follow(self, exchange: Exchange) -> None:
        """Go on following prices and time until cancelled."""
        loop = asyncio.get_running_loop()
        synced = loop.time()
        while True:
            await asyncio.sleep(POLL)
            waiting = {o.symbol for orders in exchange.engine.open_of.values() for o in orders.values()}
            try:
                if waiting:
                    await self.refresh(exchange, sorted(waiting))
                if loop.time() - synced > RESYNC:
                    exchange.clock.set(int((await self.read("/api/v3/time"))["serverTime"]))
                    synced = loop.time()
            except ValueError as problem:
                print(f"simulator: {problem}", file=sys.stderr)

    # Requests and streams

    def passes(self, path: str) -> bool:
        name = path.removeprefix("/api/v3/")
        return name in PASSED or name.startswith("ticker")

    async def fetch(self, path_and_query: str) -> tuple[int, bytes]:
        """The upstream's own answer to a request for market data."""
        try:
            async with self.session.get(self.url + path_and_query, **self._way) as response:
                return response.status, await response.read()
        except (aiohttp.ClientError, TimeoutError):
            msg = "Timeout waiting for response from backend server."
            return 504, json.dumps({"code": -1007, "msg": msg}).encode()

    async def know_price(self, exchange: Exchange, symbol: str) -> None:
        """See to it that an order meets a price of this moment; -1001 when none can be had."""
        if symbol not in exchange.symbols.rules:
            return
        try:
            await self.refresh(exchange, [symbol])
        except ValueError:
            msg = "Internal error; unable to process your request. Please try again."
            raise Refusal(-1001, msg, 503) from None


class PassedConnection(Connection):
    """A client whose streams come from upstream."""

    channel = "stream"
    messages_a_second = 5

    def __init__(self, exchange: Exchange, request: web.Request, source: aiohttp.ClientWebSocketResponse):
        super().__init__(exchange, request)
        self._source = source

    async def heard(self, text: str) -> None:
        await self._source.send_str(text)

    async def pump(self) -> None:
        """Hand on what comes from upstream; when that ends, so does this connection."""
        async for message in self._source:
            if message.type == aiohttp.WSMsgType.TEXT:
                self.tell(_stream_of(message.data), message.data, '"x":true' in message.data)
        await self.suffer("close")


def _stream_of(frame: str) -> str:
    """The stream that a combined frame names; empty for a raw one."""
    return frame.split('"', 4)[3] if frame.startswith('{"stream":"') else ""


def passing_streams(upstream: Upstream, hub: Hub) -> Any:
    """A handler of /ws and /stream that connects clients to the upstream's streams."""

    async def connect(request: web.Request) -> web.StreamResponse:
        try:
            source = await upstream.session.ws_connect(
                upstream.streams + request.raw_path, heartbeat=30, **upstream.way_of_streams
            )
        except (aiohttp.ClientError, TimeoutError):
            return web.Response(status=503, text="Service Unavailable")
        connection = PassedConnection(hub.exchange, request, source)
        hub.connections.add(connection)
        pump = asyncio.create_task(connection.pump())
        try:
            return await connection.serve()
        finally:
            hub.connections.discard(connection)
            pump.cancel()
            await source.close()

    return connect

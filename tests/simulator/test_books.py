"""Streams of the order book and of rolling windows: what they say agrees with REST, and comes in time."""

from __future__ import annotations

import asyncio
import json
import time
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from order_prices import above
from simulated import H4, START, running
from test_clients import AsyncClient, BinanceSocketManager
from test_streams import act, connected, next_event

from tests.exchange import KEY, SECRET, Simulator

PACE = 0.025  # what stands for a second with the updates of this folder's simulator
SHOWN = 5000


class LocalBook:
    """A book kept as the exchange's documents tell clients to: from a snapshot and the updates after it."""

    def __init__(self, snapshot: dict[str, Any]):
        self.number = snapshot["lastUpdateId"]
        self.bids = dict(snapshot["bids"])
        self.asks = dict(snapshot["asks"])

    def take(self, event: dict[str, Any]) -> None:
        if event["u"] <= self.number:
            return
        assert event["U"] <= self.number + 1, "updates are missing"
        self.number = event["u"]
        for side, changes in ((self.bids, event["b"]), (self.asks, event["a"])):
            for price, size in changes:
                if Decimal(size):
                    side[price] = size
                else:
                    side.pop(price, None)

    def best(self, levels: int) -> tuple[list[list[str]], list[list[str]]]:
        bids = sorted(self.bids.items(), key=lambda it: Decimal(it[0]), reverse=True)
        asks = sorted(self.asks.items(), key=lambda it: Decimal(it[0]))
        return [list(it) for it in bids[:levels]], [list(it) for it in asks[:levels]]


def snapshot(simulator: Simulator, limit: int = SHOWN) -> dict[str, Any]:
    return dict(simulator.get("/api/v3/depth", symbol="BTCUSDT", limit=limit).json())


@pytest.mark.parametrize("name", ["btcusdt@depth", "btcusdt@depth@100ms"])
async def test_a_book_kept_from_updates_equals_the_snapshot(simulator: Simulator, name: str) -> None:
    async with connected(simulator, f"/ws/{name}") as socket:
        await act("clock", simulator, advance=100)
        await asyncio.sleep(4 * PACE)
        book = LocalBook(await asyncio.to_thread(snapshot, simulator))
        moved = 0
        for _ in range(12):
            await act("clock", simulator, advance=3000)
            later = await asyncio.to_thread(snapshot, simulator)
            while book.number < later["lastUpdateId"]:
                event = await next_event(socket)
                assert (event["e"], event["s"]) == ("depthUpdate", "BTCUSDT")
                book.take(event)
                moved += len(event["b"])
            assert book.best(50) == (later["bids"][:50], later["asks"][:50])
        assert moved > 24


async def test_a_price_from_outside_changes_the_book_at_once(simulator: Simulator) -> None:
    async with connected(simulator, "/ws/btcusdt@depth@100ms") as socket:
        await asyncio.sleep(4 * PACE)
        book = LocalBook(await asyncio.to_thread(snapshot, simulator))
        price = above(simulator, "1.0001")
        await act("settings", simulator, prices={"BTCUSDT": price})
        book.take(await next_event(socket))
    assert book.best(10) == tuple(snapshot(simulator, 10)[side] for side in ("bids", "asks"))
    assert Decimal(book.best(1)[1][0][0]) - Decimal(price) == Decimal("0.01")


async def test_a_leap_leaves_a_gap_that_asks_for_a_new_snapshot(simulator: Simulator) -> None:
    async with connected(simulator, "/ws/btcusdt@depth") as socket:
        await asyncio.sleep(4 * PACE)
        known = await asyncio.to_thread(snapshot, simulator)
        await act("settings", simulator, prices={"BTCUSDT": above(simulator, "2")})
        event = await next_event(socket)
    assert event["U"] == event["u"] > known["lastUpdateId"]
    assert len(event["b"]) == 1


@pytest.mark.parametrize("levels", [5, 10, 20])
async def test_a_partial_book_is_the_best_of_the_snapshot(simulator: Simulator, levels: int) -> None:
    async with connected(simulator, f"/ws/btcusdt@depth{levels}@100ms") as socket:
        assert await next_event(socket) == await asyncio.to_thread(snapshot, simulator, levels)


async def test_the_best_of_the_book_is_the_same_everywhere(simulator: Simulator) -> None:
    seen = snapshot(simulator, 5)
    told = simulator.get("/api/v3/ticker/bookTicker", symbol="BTCUSDT").json()
    day = simulator.get("/api/v3/ticker/24hr", symbol="BTCUSDT").json()
    async with connected(simulator, "/ws/btcusdt@bookTicker") as socket:
        event = await next_event(socket)
    best = [*seen["bids"][0], *seen["asks"][0]]
    names = ("bidPrice", "bidQty", "askPrice", "askQty")
    assert [told[name] for name in names] == [day[name] for name in names] == best
    assert [event[name] for name in "bBaA"] == best
    assert event["u"] == seen["lastUpdateId"]


@pytest.mark.parametrize("length", ["1h", "4h", "1d"])
async def test_a_window_says_the_same_over_all_ways(simulator: Simulator, length: str) -> None:
    simulator.advance(H4 // 3)
    rest = simulator.get("/api/v3/ticker", symbol="BTCUSDT", windowSize=length).json()
    path = f"/stream?streams=btcusdt@ticker_{length}/!ticker_{length}@arr"
    async with connected(simulator, path) as socket:
        events = {event["stream"]: event["data"] for event in [await next_event(socket) for _ in range(4)]}
    one, every = events[f"btcusdt@ticker_{length}"], events[f"!ticker_{length}@arr"]
    assert one["e"] == f"{length}Ticker"
    assert (one["o"], one["h"], one["l"], one["c"], one["v"], one["n"]) == tuple(
        rest[name] for name in ("openPrice", "highPrice", "lowPrice", "lastPrice", "volume", "count")
    )
    assert (one["O"], one["C"]) == (rest["openTime"], rest["closeTime"])
    assert one["O"] % 60_000 == 0
    assert len(every) == 8
    assert one in every


async def test_the_average_and_the_reference_price_are_told(simulator: Simulator) -> None:
    average = simulator.get("/api/v3/avgPrice", symbol="BTCUSDT").json()["price"]
    reference = simulator.get("/api/v3/referencePrice", symbol="BTCUSDT").json()["referencePrice"]
    path = "/stream?streams=btcusdt@avgPrice/btcusdt@referencePrice"
    async with connected(simulator, path) as socket:
        seen = {event["stream"]: event["data"] for event in [await next_event(socket) for _ in range(4)]}
    assert (seen["btcusdt@avgPrice"]["e"], seen["btcusdt@avgPrice"]["w"]) == ("avgPrice", average)
    assert seen["btcusdt@referencePrice"] == {
        "e": "referencePrice",
        "s": "BTCUSDT",
        "r": reference,
        "t": START,
    }


@pytest.mark.parametrize(
    "name", ["!bookTicker", "!ticker@arr", "btcusdt@depth7", "btcusdt@ticker_2h", "!ticker_2h@arr"]
)
async def test_what_the_exchange_does_not_have_says_nothing(simulator: Simulator, name: str) -> None:
    async with connected(simulator, f"/ws/{name}") as socket:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(socket.recv(), 6 * PACE)


async def test_every_stream_keeps_its_documented_speed() -> None:
    """With the settings as they are at first, and the clock at its natural speed."""
    speeds = {
        "btcusdt@depth": 1.0, "btcusdt@depth@100ms": 0.1, "btcusdt@depth5": 1.0, "btcusdt@depth20@100ms": 0.1,
        "!miniTicker@arr": 1.0, "!ticker_1h@arr": 1.0, "!ticker_1d@arr": 1.0, "btcusdt@ticker_4h": 1.0,
        "btcusdt@ticker": 1.0, "btcusdt@miniTicker": 1.0, "btcusdt@avgPrice": 1.0, "btcusdt@kline_1m": 2.0,
        "btcusdt@kline_1s": 1.0, "btcusdt@bookTicker": 1.0, "btcusdt@referencePrice": 1.0,
    }  # fmt: skip
    with running("--generate", "20") as simulator:
        async with connected(simulator, "/stream?streams=" + "/".join(speeds)) as socket:
            arrived: dict[str, list[float]] = {name: [] for name in speeds}
            begun = time.monotonic()
            while time.monotonic() < begun + 5:
                name = json.loads(await asyncio.wait_for(socket.recv(), 3))["stream"]
                arrived[name].append(time.monotonic())
    for name, speed in speeds.items():
        times = [begun, *arrived[name]]
        assert len(times) > 2, name
        assert max(b - a for a, b in pairwise(times)) < 2 * speed + 0.5, name
        assert len(times) < 5 / speed * 2.5, name


async def test_python_binance_keeps_a_book(simulator: Simulator) -> None:
    from binance.ws.depthcache import DepthCacheManager

    simulator.control("clock", speed=1)

    class Pointed(AsyncClient):
        API_URL = simulator.url + "/api"
        MARGIN_API_URL = simulator.url + "/sapi"

    client = await Pointed.create(KEY, SECRET)
    try:
        manager = DepthCacheManager(client, "BTCUSDT", ws_interval=100, limit=SHOWN)
        manager._bm.STREAM_URL = simulator.ws + "/"
        assert isinstance(manager._bm, BinanceSocketManager)
        async with manager as cache:
            for _ in range(5):
                book = await asyncio.wait_for(cache.recv(), 5)
                assert book.get_bids()[0][0] < book.get_asks()[0][0]
            assert len(book.get_bids()) > SHOWN * 0.9  # a falling price takes some away
    finally:
        await client.close_connection()

"""The WebSocket API: methods, sessions, and what the user data stream tells of an account."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import websockets
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from order_prices import above, below
from simulated import H4, OTHER_KEY, OTHER_SECRET, running
from test_trailing import trailing

from tests.exchange import KEY, SECRET, Simulator

EVENT_KEYS = {
    "NEW": [
        "e",
        "E",
        "s",
        "c",
        "S",
        "o",
        "f",
        "q",
        "p",
        "P",
        "F",
        "g",
        "C",
        "x",
        "X",
        "r",
        "i",
        "l",
        "z",
        "L",
    ]
}


class Api:
    """A connection to the WebSocket API that keeps events and answers apart."""

    def __init__(self, simulator: Simulator, socket: Any):
        self.simulator = simulator
        self.socket = socket
        self.events: list[dict[str, Any]] = []

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        await self.socket.send(json.dumps({"id": "1", "method": method, "params": params}))
        while True:
            message = await self.next_message()
            if "id" in message:
                return message

    async def signed(
        self, method: str, key: str = KEY, secret: str = SECRET, **params: Any
    ) -> dict[str, Any]:
        now = await asyncio.to_thread(lambda: self.simulator.now)
        params |= {"apiKey": key, "timestamp": now}
        payload = "&".join(f"{name}={params[name]}" for name in sorted(params))
        signature = hmac.new(secret.encode(), payload.encode(), hashlib.sha256).hexdigest()
        return await self.call(method, **params, signature=signature)

    async def next_message(self) -> dict[str, Any]:
        message = json.loads(await asyncio.wait_for(self.socket.recv(), 3))
        if "event" in message:
            self.events.append(message)
        return dict(message)

    async def reports(self, count: int) -> list[dict[str, Any]]:
        """The first so many executionReports."""
        while sum(e["event"]["e"] == "executionReport" for e in self.events) < count:
            await self.next_message()
        return [e["event"] for e in self.events if e["event"]["e"] == "executionReport"]


@asynccontextmanager
async def api(simulator: Simulator) -> AsyncIterator[Api]:
    async with websockets.connect(simulator.ws + "/ws-api/v3") as socket:
        yield Api(simulator, socket)


async def test_public_methods_answer_like_rest(simulator: Simulator) -> None:
    async with api(simulator) as ws:
        assert (await ws.call("ping"))["result"] == {}
        told = await ws.call("time")
        assert told["result"] == {"serverTime": simulator.now}
        assert told["rateLimits"][0]["rateLimitType"] == "REQUEST_WEIGHT"
        klines = await ws.call("klines", symbol="BTCUSDT", interval="4h", limit=2, returnRateLimits=False)
        query = {"symbol": "BTCUSDT", "interval": "4h", "limit": 2}
        assert klines == {"id": "1", "status": 200, "result": simulator.get("/api/v3/klines", **query).json()}
        some = await ws.call("exchangeInfo", symbols=["BTCUSDT", "ETHUSDT"])
        assert len(some["result"]["symbols"]) == 2


@pytest.mark.parametrize(
    ("method", "path", "query"),
    [
        ("ticker", "ticker", {"symbol": "BTCUSDT", "windowSize": "1d"}),
        ("trades.aggregate", "aggTrades", {"symbol": "BTCUSDT", "limit": 5}),
        ("trades.historical", "historicalTrades", {"symbol": "BTCUSDT", "limit": 5}),
    ],
)
async def test_market_methods_answer_like_rest(
    simulator: Simulator, method: str, path: str, query: dict[str, Any]
) -> None:
    async with api(simulator) as ws:
        told = await ws.call(method, **query)
        assert told["status"] == 200
        assert told["result"] == simulator.get(f"/api/v3/{path}", **query).json()
        assert told["result"]


@pytest.mark.parametrize("method", ["myAllocations", "myPreventedMatches"])
async def test_what_never_happens_here_is_an_empty_list(simulator: Simulator, method: str) -> None:
    query = {"orderId": 1} if method == "myPreventedMatches" else {}
    async with api(simulator) as ws:
        assert (await ws.signed(method, symbol="BTCUSDT", **query))["result"] == []


async def test_an_error_comes_with_status_and_code(simulator: Simulator) -> None:
    async with api(simulator) as ws:
        wrong = await ws.call("klines", symbol="NOSUCH", interval="4h")
        assert (wrong["status"], wrong["error"]) == (400, {"code": -1121, "msg": "Invalid symbol."})
        assert (await ws.signed("account.status", secret="wrong"))["error"]["code"] == -1022
        assert (await ws.call("fly"))["status"] == 400


async def test_orders_can_be_placed_queried_and_cancelled(simulator: Simulator) -> None:
    price = f"{Decimal(simulator.price()) / 2:.2f}"
    order = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01"}
    async with api(simulator) as ws:
        placed = await ws.signed("order.place", **order, price=price, newClientOrderId="mine")
        assert placed["result"]["status"] == "NEW"
        query = {"symbol": "BTCUSDT", "origClientOrderId": "mine"}
        assert (await ws.signed("order.status", **query))["result"]["orderId"] == placed["result"]["orderId"]
        assert (await ws.signed("order.cancel", **query))["result"]["status"] == "CANCELED"
        assert (await ws.signed("order.cancel", **query))["error"]["code"] == -2011
    assert simulator.truth()["orders"][0]["status"] == "CANCELED"


async def test_the_user_data_stream_tells_what_happens_to_orders(simulator: Simulator) -> None:
    async with api(simulator) as ws:
        assert (await ws.signed("userDataStream.subscribe.signature"))["result"] == {"subscriptionId": 0}
        await asyncio.to_thread(simulator.order, type="MARKET", newClientOrderId="now")
        new, trade = await ws.reports(2)
        assert [new[k] for k in ("x", "X", "c", "N", "t")] == ["NEW", "NEW", "now", None, -1]
        assert [trade[k] for k in ("x", "X", "l", "z", "N", "m")] == [
            "TRADE",
            "FILLED",
            "0.01000000",
            "0.01000000",
            "BTC",
            False,
        ]
        while ws.events[-1]["event"]["e"] != "outboundAccountPosition":
            await ws.next_message()
        held = {b["a"]: b["f"] for b in ws.events[-1]["event"]["B"]}
        assert held["BTC"] == simulator.balance("BTC")["free"]


async def test_the_user_data_stream_tells_of_cancels_under_both_ids(simulator: Simulator) -> None:
    price = f"{Decimal(simulator.price()) / 2:.2f}"
    async with api(simulator) as ws:
        await ws.signed("userDataStream.subscribe.signature")
        await asyncio.to_thread(simulator.order, price=price, newClientOrderId="mine")
        query = {"symbol": "BTCUSDT", "origClientOrderId": "mine", "newClientOrderId": "gone"}
        await asyncio.to_thread(simulator.signed, "DELETE", "/api/v3/order", **query)
        _, canceled = await ws.reports(2)
    assert [canceled[k] for k in ("x", "X", "c", "C")] == ["CANCELED", "CANCELED", "gone", "mine"]


async def test_the_user_data_stream_tells_of_fills_when_time_passes(simulator: Simulator) -> None:
    price = f"{Decimal(simulator.price()) * Decimal('0.9999'):.2f}"
    async with api(simulator) as ws:
        await ws.signed("userDataStream.subscribe.signature")
        await asyncio.to_thread(simulator.order, price=price)
        await asyncio.to_thread(simulator.advance, 10 * H4)
        _, trade = await ws.reports(2)
    fill = simulator.truth()["fills"][0]
    assert [trade[k] for k in ("t", "T", "L", "m")] == [fill["tradeId"], fill["time"], fill["price"], True]


async def test_an_account_is_told_only_of_its_own_orders(simulator: Simulator) -> None:
    async with api(simulator) as ws:
        await ws.signed("userDataStream.subscribe.signature", key=OTHER_KEY, secret=OTHER_SECRET)
        await asyncio.to_thread(simulator.order, type="MARKET")
        await asyncio.to_thread(
            simulator.order,
            type="MARKET",
            quantity="0.001",
            newClientOrderId="own",
            key=OTHER_KEY,
            secret=OTHER_SECRET,
        )
        assert {r["c"] for r in await ws.reports(2)} == {"own"}
        await ws.call("userDataStream.unsubscribe", subscriptionId=0)
        await asyncio.to_thread(
            simulator.order, type="MARKET", quantity="0.001", key=OTHER_KEY, secret=OTHER_SECRET
        )
        await ws.call("ping")
        assert {r["c"] for r in await ws.reports(2)} == {"own"}


async def test_events_have_the_fields_of_the_real_ones(simulator: Simulator, market_data: Path) -> None:
    text = (market_data / "messages" / "user-stream-LimitSubmittedFilled.json").read_text()
    real, at = [], 0
    while at < len(text.rstrip()):
        wrapper, at = json.JSONDecoder().raw_decode(text, at)
        real.append(wrapper)
        at += len(text[at:]) - len(text[at:].lstrip())
    async with api(simulator) as ws:
        await ws.signed("userDataStream.subscribe.signature")
        above = f"{Decimal(simulator.price()) * Decimal('1.01'):.2f}"
        await asyncio.to_thread(simulator.order, price=above)
        reports = await ws.reports(2)
    wrappers = [e for e in ws.events if e["event"]["e"] == "executionReport"]
    for ours, theirs, wrapper in zip(reports, real, wrappers, strict=True):
        assert list(wrapper) == list(theirs)
        assert list(ours) == list(theirs["event"])
        assert {k: type(v) for k, v in ours.items()} == {k: type(v) for k, v in theirs["event"].items()}


async def test_an_ed25519_key_can_log_a_session_on(tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    (tmp_path / "public.pem").write_bytes(key.public_key().public_bytes(serialization.Encoding.PEM, form))
    with running("--speed", "0", "--account", f"K:@{tmp_path / 'public.pem'}:USDT=1") as simulator:
        async with api(simulator) as ws:
            refused = await ws.call("userDataStream.subscribe")
            assert refused["status"] == 401
            now = simulator.now
            signature = base64.b64encode(key.sign(f"apiKey=K&timestamp={now}".encode())).decode()
            logon = await ws.call("session.logon", apiKey="K", timestamp=now, signature=signature)
            assert logon["result"]["apiKey"] == "K"
            assert (await ws.call("account.status", timestamp=now))["status"] == 200
            assert (await ws.call("userDataStream.subscribe"))["result"] == {"subscriptionId": 0}


@pytest.mark.parametrize(("when", "orders"), [("before", 0), ("after", 1)])
async def test_a_method_can_be_made_to_fail_before_or_after(
    simulator: Simulator, when: str, orders: int
) -> None:
    simulator.control(
        "faults",
        match={"channel": "ws-api", "path": "order.place"},
        when=when,
        action={"status": 504, "code": -1007, "msg": "Timeout"},
    )
    async with api(simulator) as ws:
        answer = await ws.signed("order.place", symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.01")
    assert (answer["status"], answer["error"]["code"]) == (504, -1007)
    assert len(simulator.truth()["orders"]) == orders


async def test_an_event_can_come_twice_or_never(simulator: Simulator) -> None:
    match = {"channel": "ws-api", "stream": "executionReport"}
    simulator.control("faults", match=match, nth=1, action={"stream": "missing"})
    simulator.control("faults", match=match, nth=1, action={"stream": "duplicate"})
    async with api(simulator) as ws:
        await ws.signed("userDataStream.subscribe.signature")
        await asyncio.to_thread(simulator.order, type="MARKET")
        assert [r["x"] for r in await ws.reports(2)] == ["TRADE", "TRADE"]


async def test_a_banned_address_is_told_so_and_disconnected(simulator: Simulator) -> None:
    async with api(simulator) as ws:
        simulator.control("faults", match={"path": "/api/v3/ping"}, action={"ban": 60})
        simulator.get("/api/v3/ping")
        banned = await ws.call("ping")
        assert (banned["status"], banned["error"]["code"]) == (418, -1003)
        assert banned["error"]["data"]["retryAfter"] > banned["error"]["data"]["serverTime"]
        with pytest.raises(websockets.ConnectionClosed):
            await ws.next_message()


async def test_lists_over_the_websocket_api_and_their_events(simulator: Simulator) -> None:
    async with api(simulator) as ws:
        await ws.signed("userDataStream.subscribe.signature")
        placed = await ws.signed(
            "orderList.place.oco",
            symbol="BTCUSDT",
            side="SELL",
            quantity="0.01",
            aboveType="LIMIT_MAKER",
            abovePrice=above(simulator, "1.01"),
            belowType="STOP_LOSS",
            belowStopPrice=below(simulator, "0.99"),
        )
        number = placed["result"]["orderListId"]
        status = await ws.signed("orderList.status", orderListId=number)
        assert status["result"]["listOrderStatus"] == "EXECUTING"
        assert len((await ws.signed("openOrderLists.status"))["result"]) == 1
        await ws.signed("orderList.cancel", symbol="BTCUSDT", orderListId=number)
        assert (await ws.signed("allOrderLists"))["result"][0]["listOrderStatus"] == "ALL_DONE"
        reports = await ws.reports(4)
        assert {it["g"] for it in reports} == {number}
        assert [it["x"] for it in reports] == ["NEW", "NEW", "CANCELED", "CANCELED"]
        lists = [it["event"] for it in ws.events if it["event"]["e"] == "listStatus"]
        assert [(it["l"], it["L"]) for it in lists] == [
            ("EXEC_STARTED", "EXECUTING"),
            ("ALL_DONE", "ALL_DONE"),
        ]
        assert [it["i"] for it in lists[0]["O"]] == [1, 2]


async def test_the_user_stream_shows_it(simulator: Simulator) -> None:
    async with api(simulator) as ws:
        await ws.signed("userDataStream.subscribe.signature")
        trailing(simulator)
        (report,) = await ws.reports(1)
        assert (report["d"], report["D"]) == (100, report["T"])


async def test_the_user_stream_tells_of_it(simulator: Simulator) -> None:
    placed = simulator.order(side="SELL", price=above(simulator, "1.05"), quantity="0.5").json()
    async with api(simulator) as ws:
        await ws.signed("userDataStream.subscribe.signature")
        await ws.signed("order.amend.keepPriority", symbol="BTCUSDT", orderId=placed["orderId"], newQty="0.2")
        (report,) = await ws.reports(1)
        assert (report["x"], report["X"], report["q"]) == ("REPLACED", "NEW", "0.20000000")
        assert report["C"] == placed["clientOrderId"]
        assert report["c"] != placed["clientOrderId"]

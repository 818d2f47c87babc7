"""Paper trading: market data passed through from another exchange, the account simulated here."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from decimal import Decimal

import pytest
import websockets
from simulated import ACCOUNTS, H4, running

from simulator.proxies import way_to
from tests import proxy
from tests.exchange import Simulator


@pytest.fixture(scope="module")
def source() -> Iterator[Simulator]:
    with running("--speed", "1", "--generate", "3", "--seed", "21", "--stream-interval", "0.05") as simulator:
        yield simulator


@pytest.fixture(scope="module")
def paper(source: Simulator) -> Iterator[Simulator]:
    """Its upstream is found by a proxy alone, which wants a password."""
    with proxy.running(source.url) as way:
        variables = {"HTTP_PROXY": way.url, "NO_PROXY": "", "no_proxy": ""}
        with running(
            "--upstream", f"http://{proxy.ELSEWHERE}", "--account", ACCOUNTS[0], env=variables
        ) as paper:
            yield paper


def test_market_data_is_the_upstreams(source: Simulator, paper: Simulator) -> None:
    query = {"symbol": "BTCUSDT", "interval": "4h", "endTime": source.now - H4, "limit": 50}
    assert paper.get("/api/v3/klines", **query).json() == source.get("/api/v3/klines", **query).json()
    assert abs(paper.now - source.now) < 1500
    assert len(paper.get("/api/v3/exchangeInfo").json()["symbols"]) == 3
    wrong = paper.get("/api/v3/klines", symbol="NOSUCH", interval="4h")
    assert (wrong.status_code, wrong.json()["code"]) == (400, -1121)


def test_orders_meet_the_upstreams_prices_and_stay_here(source: Simulator, paper: Simulator) -> None:
    source.control("clock", speed=0)
    bought = paper.order(type="MARKET").json()
    assert bought["fills"][0]["price"] == source.price()
    price = f"{Decimal(source.price()) * Decimal('0.999'):.2f}"
    assert paper.order(price=price, newClientOrderId="resting").json()["status"] == "NEW"
    source.control("settings", prices={"BTCUSDT": price})
    for _ in range(40):
        fills = [f for f in paper.truth()["fills"] if f["clientOrderId"] == "resting"]
        if fills:
            break
        asyncio.run(asyncio.sleep(0.1))
    assert [(f["price"], f["isMaker"]) for f in fills] == [(f"{Decimal(price):.8f}", True)]
    assert source.truth()["orders"] == []


async def test_streams_are_the_upstreams(source: Simulator, paper: Simulator) -> None:
    async with websockets.connect(paper.ws + "/stream?streams=btcusdt@kline_4h") as socket:
        event = json.loads(await asyncio.wait_for(socket.recv(), 3))
        assert event["data"]["k"]["s"] == "BTCUSDT"
        await socket.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": 7}))
        async with asyncio.timeout(3):
            while "id" not in event:
                event = json.loads(await socket.recv())
    assert event == {"result": ["btcusdt@kline_4h"], "id": 7}


def test_when_the_upstream_is_gone_requests_fail_and_the_program_goes_on(
    paper: Simulator, source: Simulator
) -> None:
    source.process.terminate()
    source.process.wait()
    assert paper.get("/api/v3/klines", symbol="BTCUSDT", interval="4h").status_code == 504
    refused = paper.order(type="MARKET")
    assert (refused.status_code, refused.json()["code"]) == (503, -1001)
    assert paper.signed("GET", "/api/v3/account").status_code == 200


@pytest.mark.parametrize(
    "given", ["socks5://me:w0rd@proxy:1", "http://me:w0rd@proxy:port", "http://me:w0rd@"]
)
def test_a_proxy_that_cannot_be_used_is_one_line_without_its_password(
    monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", given)
    with pytest.raises(ValueError, match=r"^the proxy for https must be like http://host:port$"):
        way_to("https://exchange.test")

"""Times in microseconds, for clients that ask for them: over REST, the WebSocket API and streams."""

from __future__ import annotations

import json
import warnings
from typing import Any

import pytest
import requests
import websockets
from order_prices import below, refused
from simulated import H4, START
from test_clients import AsyncClient
from test_streams import act, connected, next_event
from test_user_stream import Api

from tests.exchange import KEY, SECRET, Simulator

MICRO = {"X-MBX-TIME-UNIT": "MICROSECOND"}


def get(simulator: Simulator, path: str, unit: str = "MICROSECOND", **params: Any) -> requests.Response:
    headers = {"X-MBX-TIME-UNIT": unit}
    return requests.get(f"{simulator.url}/api/v3/{path}", params=params, headers=headers, timeout=10)


@pytest.mark.parametrize("unit", ["MICROSECOND", "microsecond"])
def test_rest_answers_in_the_unit_that_is_asked_for(simulator: Simulator, unit: str) -> None:
    assert get(simulator, "time", unit).json() == {"serverTime": START * 1000}
    assert get(simulator, "time", "millisecond").json() == {"serverTime": START}
    assert get(simulator, "exchangeInfo", unit, symbol="BTCUSDT").json()["serverTime"] == START * 1000


def test_an_unknown_unit_is_refused(simulator: Simulator) -> None:
    answer = get(simulator, "time", "NANOSECOND")
    assert refused(answer) == (
        -1194,
        "Invalid value for time unit; expected either MICROSECOND or MILLISECOND.",
    )


@pytest.mark.parametrize(
    ("path", "query", "times"),
    [
        ("ticker/24hr",    {},                  ["openTime", "closeTime"]),
        ("ticker",         {},                  ["openTime", "closeTime"]),
        ("avgPrice",       {},                  ["closeTime"]),
        ("trades",         {"limit": 1},        ["time"]),
        ("aggTrades",      {"limit": 1},        ["T"]),
        ("referencePrice", {},                  ["timestamp"]),
    ],
)  # fmt: skip
def test_times_and_nothing_else_change(
    simulator: Simulator, path: str, query: dict[str, Any], times: list[str]
) -> None:
    plain = simulator.get(f"/api/v3/{path}", symbol="BTCUSDT", **query).json()
    micro = get(simulator, path, symbol="BTCUSDT", **query).json()
    plain, micro = (it[0] if isinstance(it, list) else it for it in (plain, micro))
    assert micro == plain | {name: plain[name] * 1000 for name in times}


@pytest.mark.parametrize("interval", ["4h", "1m"])
def test_a_kline_ends_with_its_last_microsecond(simulator: Simulator, interval: str) -> None:
    query = {"symbol": "BTCUSDT", "interval": interval, "limit": 3}
    plain = simulator.get("/api/v3/klines", **query).json()
    micro = get(simulator, "klines", **query).json()
    assert micro == [[row[0] * 1000, *row[1:6], row[6] * 1000 + 999, *row[7:]] for row in plain]
    span = {"startTime": plain[0][0] * 1000, "endTime": plain[1][6] * 1000 + 999}
    assert simulator.get("/api/v3/klines", **query, **span).json() == plain[:2]


def test_orders_carry_microseconds(simulator: Simulator) -> None:
    simulator.session.headers.update(MICRO)
    try:
        placed = simulator.order(price=below(simulator, "0.5"), timestamp=START * 1000).json()
        found = simulator.signed("GET", "/api/v3/order", symbol="BTCUSDT", orderId=placed["orderId"]).json()
        stop = {"type": "STOP_LOSS", "side": "SELL", "stopPrice": below(simulator, "0.5")}
        waiting = simulator.order(**stop, newOrderRespType="RESULT").json()
    finally:
        del simulator.session.headers["X-MBX-TIME-UNIT"]
    assert placed["transactTime"] == placed["workingTime"] == START * 1000
    assert (found["time"], found["updateTime"], found["workingTime"]) == (START * 1000,) * 3
    assert waiting["workingTime"] == -1


async def test_streams_carry_microseconds(simulator: Simulator) -> None:
    path = (
        "/stream?timeUnit=MICROSECOND&streams=btcusdt@kline_4h/btcusdt@ticker/btcusdt@trade/!miniTicker@arr"
    )
    now = START + 1000
    await act("clock", simulator, time=now)
    async with connected(simulator, path) as socket:
        seen = {event["stream"]: event["data"] for event in [await next_event(socket) for _ in range(8)]}
        await act("clock", simulator, advance=H4)
        closed = (await next_event(socket, closed=True))["data"]
    kline, ticker = seen["btcusdt@kline_4h"], seen["btcusdt@ticker"]
    start = now - now % H4
    assert (kline["E"], kline["k"]["t"], kline["k"]["T"]) == (
        now * 1000,
        start * 1000,
        (start + H4) * 1000 - 1,
    )
    assert closed["k"]["T"] == (start + H4) * 1000 - 1
    assert (ticker["E"], ticker["C"]) == (now * 1000,) * 2
    trade = seen["btcusdt@trade"]
    assert trade["T"] == trade["t"] * 1500 * 1000  # the trade's number is no time
    assert {it["E"] for it in seen["!miniTicker@arr"]} == {now * 1000}


@pytest.mark.parametrize("path", ["/ws/btcusdt@trade", "/ws-api/v3"])
async def test_a_socket_with_an_unknown_unit_is_refused(simulator: Simulator, path: str) -> None:
    with pytest.raises(websockets.InvalidStatus) as refusal:
        async with connected(simulator, f"{path}?timeUnit=NANOSECOND"):
            pass
    assert refusal.value.response.status_code == 400
    assert json.loads(refusal.value.response.body)["code"] == -1194


async def test_the_websocket_api_carries_microseconds(simulator: Simulator) -> None:
    async with connected(simulator, "/ws-api/v3?timeUnit=microsecond") as socket:
        ws = Api(simulator, socket)
        assert (await ws.call("time"))["result"] == {"serverTime": START * 1000}
        for _ in range(2):
            await ws.signed("userDataStream.subscribe.signature")
        placed = simulator.order(price=below(simulator, "0.5")).json()
        reports = await ws.reports(2)
        found = (await ws.signed("order.status", symbol="BTCUSDT", orderId=placed["orderId"]))["result"]
    for report in reports:
        assert [report[name] for name in "ETOW"] == [START * 1000] * 4
    assert found["time"] == START * 1000


async def test_python_binance_trades_in_microseconds(simulator: Simulator) -> None:
    simulator.control("clock", speed=1)

    class Pointed(AsyncClient):
        API_URL = simulator.url + "/api"
        MARGIN_API_URL = simulator.url + "/sapi"

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        client = await Pointed.create(KEY, SECRET, time_unit="MICROSECOND")
    try:
        bought = await client.order_market_buy(symbol="BTCUSDT", quantity="0.01")
        assert bought["transactTime"] > START * 1000
        assert (await client.get_my_trades(symbol="BTCUSDT"))[0]["time"] == bought["transactTime"]
    finally:
        await client.close_connection()

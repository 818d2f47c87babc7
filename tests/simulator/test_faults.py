"""Scripted faults of requests: what the client sees, and what the exchange did in truth."""

from __future__ import annotations

import time
from decimal import Decimal

import pytest
import requests

from tests.exchange import Simulator

POST_ORDER = {"method": "POST", "path": "/api/v3/order"}


def place(simulator: Simulator, name: str = "mine") -> requests.Response:
    price = f"{Decimal(simulator.price()) / 2:.2f}"
    return simulator.order(price=price, newClientOrderId=name)


def placed(simulator: Simulator) -> list[str]:
    return [order["clientOrderId"] for order in simulator.truth()["orders"]]


def test_an_error_before_the_engine_places_nothing(simulator: Simulator) -> None:
    simulator.control(
        "faults", match=POST_ORDER, times=1, action={"status": 503, "code": -1008, "msg": "Server is busy."}
    )
    answer = place(simulator)
    assert (answer.status_code, answer.json()) == (503, {"code": -1008, "msg": "Server is busy."})
    assert placed(simulator) == []
    assert place(simulator).status_code == 200


def test_an_error_after_the_engine_hides_an_order_that_exists(simulator: Simulator) -> None:
    action = {"status": 504, "code": -1007, "msg": "Timeout waiting for response from backend server."}
    simulator.control("faults", match=POST_ORDER, times=1, when="after", action=action)
    assert place(simulator).json()["code"] == -1007
    assert placed(simulator) == ["mine"]


@pytest.mark.parametrize(("when", "orders"), [("before", []), ("after", ["mine"])])
def test_a_connection_can_be_reset_before_or_after(
    simulator: Simulator, when: str, orders: list[str]
) -> None:
    simulator.control("faults", match=POST_ORDER, times=1, when=when, action={"reset": True})
    with pytest.raises(requests.ConnectionError):
        place(simulator)
    assert placed(simulator) == orders


@pytest.mark.parametrize(("when", "orders"), [("before", []), ("after", ["mine"])])
def test_the_exchange_can_fall_silent(simulator: Simulator, when: str, orders: list[str]) -> None:
    simulator.control("faults", match=POST_ORDER, times=1, when=when, action={"silence": 0.2})
    began = time.monotonic()
    with pytest.raises(requests.ConnectionError):
        place(simulator)
    assert time.monotonic() - began >= 0.2
    assert placed(simulator) == orders


def test_a_delay_before_the_engine_can_outlast_the_window(simulator: Simulator) -> None:
    simulator.control("clock", speed=100)  # 0.2 real seconds are 20 of the exchange
    simulator.control("faults", match=POST_ORDER, times=1, action={"delay": 0.2})
    price = f"{Decimal(simulator.price()) / 2:.2f}"
    late = simulator.order(price=price, recvWindow=10_000)
    assert late.json()["code"] == -1021
    assert placed(simulator) == []


def test_html_and_broken_json_can_stand_in_for_an_answer(simulator: Simulator) -> None:
    simulator.control("faults", match={"path": "/api/v3/ping"}, nth=1, action={"html": True, "status": 502})
    simulator.control(
        "faults", match={"path": "/api/v3/ping"}, nth=2, when="after", action={"body": '{"half":'}
    )
    first, second = simulator.get("/api/v3/ping"), simulator.get("/api/v3/ping")
    assert (first.status_code, first.headers["Content-Type"]) == (502, "text/html")
    assert second.text == '{"half":'
    with pytest.raises(ValueError, match=r"."):
        second.json()


def test_the_clock_can_be_told_wrong(simulator: Simulator) -> None:
    simulator.control("faults", match={"path": "/api/v3/time"}, times=1, action={"clock_offset_ms": -60_000})
    assert simulator.get("/api/v3/time").json()["serverTime"] == simulator.now - 60_000
    assert simulator.get("/api/v3/time").json()["serverTime"] == simulator.now


def test_a_ban_can_be_decreed(simulator: Simulator) -> None:
    simulator.control("faults", match={"path": "/api/v3/klines"}, times=1, action={"ban": 300})
    banned = simulator.get("/api/v3/klines", symbol="BTCUSDT", interval="4h")
    assert (banned.status_code, banned.json()["code"]) == (418, -1003)
    assert simulator.get("/api/v3/time").status_code == 418


def test_faults_choose_by_number_symbol_time_and_chance(simulator: Simulator) -> None:
    action = {"status": 500, "code": -1000, "msg": "An unknown error occurred."}

    def statuses(symbol: str, count: int) -> list[int]:
        path = "/api/v3/ticker/price"
        return [simulator.get(path, symbol=symbol).status_code for _ in range(count)]

    simulator.control("faults", match={"symbol": "ETHUSDT"}, nth=2, action=action)
    assert statuses("BTCUSDT", 3) == [200, 200, 200]
    assert statuses("ETHUSDT", 3) == [200, 500, 200]
    simulator.control("faults", match={"symbol": "BNB*"}, seconds=0.15, action=action)
    assert statuses("BNBUSDT", 2) == [500, 500]
    time.sleep(0.2)
    assert statuses("BNBUSDT", 2) == [200, 200]
    simulator.control("faults", match={"symbol": "SOLUSDT"}, probability=0.5, seed=4, action=action)
    some = statuses("SOLUSDT", 30)
    assert {200, 500} == set(some)


def test_faults_can_be_read_back_and_removed(simulator: Simulator) -> None:
    first = simulator.control("faults", match={"path": "/api/v3/ping"}, times=1, action={"status": 500})
    simulator.control("faults", match={"path": "/api/v3/time"}, action={"status": 500})
    for _ in range(3):
        simulator.get("/api/v3/ping")
    told = simulator.get("/simulator/faults").json()["faults"]
    assert [(f["matched"], f["fired"]) for f in told] == [(3, 1), (0, 0)]
    left = simulator.session.delete(f"{simulator.url}/simulator/faults", params={"id": first["id"]}).json()
    assert len(left["faults"]) == 1
    simulator.session.delete(f"{simulator.url}/simulator/faults")
    assert simulator.get("/api/v3/time").status_code == 200


@pytest.mark.parametrize(
    "script",
    [
        {"action": {}},
        {"action": {"explode": True}},
        {"action": {"stream": "explode"}},
        {"action": {"stream": "close", "code": 1006}},
        {"action": {"stream": "close", "code": "1000"}},
        {"action": {"status": 500}, "when": "never"},
        {"action": {"delay": "long"}},
        {"action": {"status": 500}, "times": "many"},
        {"action": {"status": 500}, "match": {"colour": "red"}},
    ],
)
def test_a_fault_that_cannot_be_understood_is_refused(
    simulator: Simulator, script: dict[str, object]
) -> None:
    answer = simulator.session.post(f"{simulator.url}/simulator/faults", json=script)
    assert answer.status_code == 400
    assert answer.json()["error"]

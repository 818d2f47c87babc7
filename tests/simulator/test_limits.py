"""Weights, order counts, 429 and bans."""

from __future__ import annotations

from decimal import Decimal

import requests
from simulated import running

from tests.exchange import KEY, Simulator


def used(answer: requests.Response) -> int:
    return int(answer.headers["X-MBX-USED-WEIGHT-1M"])


def far(simulator: Simulator) -> str:
    return f"{Decimal(simulator.price()) / 2:.2f}"


def test_each_answer_tells_the_weight_used(simulator: Simulator) -> None:
    simulator.control("settings", limits=True)
    before = used(simulator.get("/api/v3/ping"))
    assert used(simulator.get("/api/v3/klines", symbol="BTCUSDT", interval="4h")) == before + 2
    assert used(simulator.get("/api/v3/exchangeInfo")) == before + 22
    assert used(simulator.get("/api/v3/klines", symbol="NOSUCH", interval="4h")) == before + 24
    assert used(simulator.signed("GET", "/api/v3/openOrders")) == before + 104
    assert used(simulator.signed("GET", "/api/v3/account")) == before + 124


def test_beyond_the_weight_comes_429_and_then_a_growing_ban(simulator: Simulator) -> None:
    simulator.control("settings", rate_limits={"REQUEST_WEIGHT": 40}, ban_after=3)
    answers = [simulator.get("/api/v3/exchangeInfo") for _ in range(7)]
    assert [a.status_code for a in answers] == [200, 200, 429, 429, 429, 418, 418]
    assert answers[2].json()["code"] == answers[5].json()["code"] == -1003
    assert 0 < int(answers[2].headers["Retry-After"]) <= 60
    assert 115 <= int(answers[5].headers["Retry-After"]) <= 120
    until = int(answers[5].json()["msg"].split("banned until ")[1].split(".")[0])
    assert abs(until - simulator.now - 120_000) < 10_000
    simulator.control("settings", ban_seconds=0)  # the next ban ends at once
    assert simulator.get("/api/v3/ping").status_code == 418


def test_raw_requests_are_limited_too(simulator: Simulator) -> None:
    simulator.control("settings", rate_limits={"RAW_REQUESTS": 2})
    assert [simulator.get("/api/v3/ping").status_code for _ in range(3)] == [200, 200, 429]


def test_orders_are_counted_by_account_until_they_trade(simulator: Simulator) -> None:
    simulator.control("settings", rate_limits={"ORDERS_1D": 3})
    first = simulator.order(price=far(simulator))
    assert (first.headers["X-MBX-ORDER-COUNT-10S"], first.headers["X-MBX-ORDER-COUNT-1D"]) == ("1", "1")
    simulator.order(type="MARKET")
    assert simulator.order(price=far(simulator)).headers["X-MBX-ORDER-COUNT-1D"] == "2"
    simulator.order(price=far(simulator))
    refused = simulator.order(price=far(simulator))
    assert (refused.status_code, refused.json()["code"]) == (429, -1015)
    assert refused.json()["msg"] == "Too many new orders; current limit is 3 orders per 1 DAY."
    usage = simulator.signed("GET", "/api/v3/rateLimit/order").json()
    assert [u["count"] for u in usage if u["interval"] == "DAY"] == [3]


def test_without_limits_nothing_is_refused() -> None:
    with running("--no-limits", "--speed", "0") as simulator:
        simulator.control("settings", rate_limits={"REQUEST_WEIGHT": 1})
        assert [simulator.get("/api/v3/exchangeInfo").status_code for _ in range(15)] == [200] * 15


def test_the_truth_tells_every_request_with_its_weight(simulator: Simulator) -> None:
    simulator.get("/api/v3/klines", symbol="ETHUSDT", interval="4h")
    simulator.get("/api/v3/klines", symbol="NOSUCH", interval="4h")
    simulator.signed("GET", "/api/v3/account", key=KEY)
    told = simulator.ask("/simulator/truth")["requests"]
    assert told["by_endpoint"] == {"GET /api/v3/klines": 2, "GET /api/v3/account": 1}
    assert (told["total"], told["weight"]) == (3, 24)
    assert [(e["path"], e["status"], e["symbol"]) for e in told["log"]] == [
        ("/api/v3/klines", 200, "ETHUSDT"),
        ("/api/v3/klines", 400, "NOSUCH"),
        ("/api/v3/account", 200, ""),
    ]

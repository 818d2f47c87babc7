"""An account's filters, execution rules and reference prices, over REST and the WebSocket API."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from order_prices import above, below, refused
from simulated import H4
from test_user_stream import api

from tests.exchange import Simulator

RANGE = {"bidLimitMultUp": "1.0100", "askLimitMultDown": "0.9900"}


def used(simulator: Simulator) -> int:
    return int(simulator.get("/api/v3/ping").headers["X-MBX-USED-WEIGHT-1M"])


def test_my_filters_are_those_of_the_symbol(simulator: Simulator) -> None:
    info = simulator.get("/api/v3/exchangeInfo", symbol="BTCUSDT").json()
    answer = simulator.signed("GET", "/api/v3/myFilters", symbol="BTCUSDT").json()
    filters = info["symbols"][0]["filters"]
    assert answer == {"exchangeFilters": [], "symbolFilters": filters, "assetFilters": []}
    assert simulator.get("/api/v3/myFilters", symbol="BTCUSDT").status_code == 401


@pytest.mark.parametrize(
    ("path", "query", "weight"),
    [
        ("executionRules",             {"symbol": "BTCUSDT"},                 2),
        ("executionRules",             {"symbols": '["BTCUSDT","ETHUSDT"]'},  4),
        ("executionRules",             {},                                   40),
        ("executionRules",             {"symbolStatus": "TRADING"},          40),
        ("referencePrice",             {"symbol": "BTCUSDT"},                 2),
        ("referencePrice/calculation", {"symbol": "BTCUSDT"},                 2),
    ],
)  # fmt: skip
def test_weights(simulator: Simulator, path: str, query: dict[str, str], weight: int) -> None:
    before = used(simulator)
    assert simulator.get(f"/api/v3/{path}", **query).status_code == 200
    assert used(simulator) - before == weight + 1


def test_the_reference_price_is_the_mean_of_ten_seconds(simulator: Simulator) -> None:
    now = simulator.now
    answer = simulator.get("/api/v3/referencePrice", symbol="BTCUSDT").json()
    assert (answer["symbol"], answer["timestamp"]) == ("BTCUSDT", now)
    prices = []
    for seconds in range(10):
        simulator.control("clock", time=now - seconds * 1000)
        prices.append(Decimal(simulator.price()))
    assert abs(Decimal(answer["referencePrice"]) - sum(prices) / 10) < Decimal("0.00000001")
    told = simulator.get("/api/v3/referencePrice/calculation", symbol="BTCUSDT").json()
    mean = {"calculationType": "ARITHMETIC_MEAN", "bucketCount": 10, "bucketWidthMs": 1000}
    assert told == {"symbol": "BTCUSDT", **mean}


def test_an_operator_can_set_a_reference_price(simulator: Simulator) -> None:
    simulator.control("settings", symbols={"BTCUSDT": {"referencePrice": "1234.5"}})
    answer = simulator.get("/api/v3/referencePrice", symbol="BTCUSDT").json()
    assert answer["referencePrice"] == "1234.50000000"
    told = simulator.get("/api/v3/referencePrice/calculation", symbol="BTCUSDT").json()
    assert told == {"symbol": "BTCUSDT", "calculationType": "EXTERNAL", "externalCalculationId": 0}
    simulator.control("reset")
    assert simulator.get("/api/v3/referencePrice", symbol="BTCUSDT").json() != answer


def test_a_symbol_that_never_traded_has_no_reference_price(filed: Simulator) -> None:
    for path in ("referencePrice", "referencePrice/calculation"):
        answer = filed.get(f"/api/v3/{path}", symbol="ADAUSDT")
        assert refused(answer) == (-2043, "This symbol doesn't have a reference price.")


def test_execution_rules_are_shown_and_no_part_of_the_listing(simulator: Simulator) -> None:
    simulator.control("settings", symbols={"BTCUSDT": {"priceRange": RANGE}})
    answer = simulator.get("/api/v3/executionRules", symbols='["BTCUSDT","ETHUSDT"]').json()
    rules = [{"ruleType": "PRICE_RANGE", **RANGE}]
    assert answer == {
        "symbolRules": [{"symbol": "BTCUSDT", "rules": rules}, {"symbol": "ETHUSDT", "rules": []}]
    }
    assert len(simulator.get("/api/v3/executionRules").json()["symbolRules"]) == 8
    assert simulator.get("/api/v3/executionRules", symbolStatus="BREAK").json() == {"symbolRules": []}
    both = simulator.get("/api/v3/executionRules", symbol="BTCUSDT", symbolStatus="BREAK")
    assert refused(both)[0] == -1128
    assert "priceRange" not in simulator.get("/api/v3/exchangeInfo", symbol="BTCUSDT").json()["symbols"][0]
    simulator.control("reset")
    assert simulator.get("/api/v3/executionRules", symbol="BTCUSDT").json()["symbolRules"][0]["rules"] == []


@pytest.mark.parametrize(("side", "share"), [("BUY", "0.98"), ("SELL", "1.02")])
def test_a_trade_outside_the_price_range_does_not_happen(simulator: Simulator, side: str, share: str) -> None:
    """A purchase too far above the reference, and a sale too far below it."""
    away = {"priceRange": RANGE, "referencePrice": below(simulator, share)}
    simulator.control("settings", symbols={"BTCUSDT": away})
    answer = simulator.order(side=side, type="MARKET").json()
    assert (answer["status"], answer["fills"]) == ("EXPIRED", [])
    assert answer["expiryReason"] == "EXECUTION_RULE_PRICE_RANGE_EXCEEDED"
    near = {"referencePrice": above(simulator, "1.000")}
    simulator.control("settings", symbols={"BTCUSDT": near})
    assert simulator.order(side=side, type="MARKET").json()["status"] == "FILLED"


def test_a_side_without_a_limit_is_free(simulator: Simulator) -> None:
    away = {"priceRange": RANGE, "referencePrice": below(simulator, "0.5")}
    simulator.control("settings", symbols={"BTCUSDT": away})
    assert simulator.order(side="SELL", type="MARKET").json()["status"] == "FILLED"


@pytest.mark.parametrize(
    ("method", "path", "query"),
    [
        ("executionRules",             "executionRules",             {"symbol": "BTCUSDT"}),
        ("referencePrice",             "referencePrice",             {"symbol": "BTCUSDT"}),
        ("referencePrice.calculation", "referencePrice/calculation", {"symbol": "BTCUSDT"}),
        ("ticker",                     "ticker",                     {"symbol": "BTCUSDT", "windowSize": "1h"}),
        ("ticker.tradingDay",          "ticker/tradingDay",          {"symbol": "BTCUSDT"}),
        ("ticker.24hr",                "ticker/24hr",                {"symbol": "BTCUSDT", "type": "MINI"}),
    ],
)  # fmt: skip
async def test_the_websocket_api_answers_like_rest(
    simulator: Simulator, method: str, path: str, query: dict[str, Any]
) -> None:
    simulator.advance(H4 // 2)
    async with api(simulator) as ws:
        told = await ws.call(method, **query)
    assert told["result"] == simulator.get(f"/api/v3/{path}", **query).json()


async def test_the_websocket_api_tells_an_accounts_filters(simulator: Simulator) -> None:
    async with api(simulator) as ws:
        told = await ws.signed("myFilters", symbol="BTCUSDT")
    assert told["result"] == simulator.signed("GET", "/api/v3/myFilters", symbol="BTCUSDT").json()

"""Orders once they are placed: found, cancelled, replaced, paid for; and what is refused."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

import pytest
from order_prices import below, refused, tick
from simulated import H4, OTHER_KEY, OTHER_SECRET

from tests.exchange import KEY, Simulator


def test_an_order_can_be_queried_cancelled_and_listed(simulator: Simulator) -> None:
    placed = simulator.order(price=below(simulator, "0.5"), newClientOrderId="mine").json()
    open_orders = simulator.signed("GET", "/api/v3/openOrders").json()
    assert [o["clientOrderId"] for o in open_orders] == ["mine"]
    canceled = simulator.signed("DELETE", "/api/v3/order", symbol="BTCUSDT", origClientOrderId="mine").json()
    assert (canceled["status"], canceled["origClientOrderId"]) == ("CANCELED", "mine")
    assert simulator.signed("GET", "/api/v3/openOrders", symbol="BTCUSDT").json() == []
    listed = simulator.signed("GET", "/api/v3/allOrders", symbol="BTCUSDT").json()
    assert [(o["orderId"], o["status"]) for o in listed] == [(placed["orderId"], "CANCELED")]
    assert simulator.balance("USDT") == {"free": "100000.00000000", "locked": "0.00000000"}
    again = simulator.signed("DELETE", "/api/v3/order", symbol="BTCUSDT", origClientOrderId="mine")
    assert refused(again) == (-2011, "Unknown order sent.")


def test_all_open_orders_of_a_symbol_can_be_cancelled_at_once(simulator: Simulator) -> None:
    for _ in range(3):
        simulator.order(price=below(simulator, "0.5"))
    answers = simulator.signed("DELETE", "/api/v3/openOrders", symbol="BTCUSDT").json()
    assert [a["status"] for a in answers] == ["CANCELED"] * 3
    assert refused(simulator.signed("DELETE", "/api/v3/openOrders", symbol="BTCUSDT"))[0] == -2011


def test_an_unknown_order_does_not_exist(simulator: Simulator) -> None:
    query = simulator.signed("GET", "/api/v3/order", symbol="BTCUSDT", origClientOrderId="none")
    assert refused(query) == (-2013, "Order does not exist.")
    nothing = simulator.signed("GET", "/api/v3/order", symbol="BTCUSDT")
    assert refused(nothing)[0] == -1102


def test_an_account_cannot_see_or_cancel_anothers_order(simulator: Simulator) -> None:
    order = simulator.order(price=below(simulator, "0.5")).json()
    query = {"symbol": "BTCUSDT", "orderId": order["orderId"], "key": OTHER_KEY, "secret": OTHER_SECRET}
    assert refused(simulator.signed("GET", "/api/v3/order", **query))[0] == -2013
    assert refused(simulator.signed("DELETE", "/api/v3/order", **query))[0] == -2011


def test_an_order_becomes_visible_only_after_the_delay(simulator: Simulator) -> None:
    simulator.control("settings", visibility_ms=3000)
    simulator.order(type="MARKET", newClientOrderId="late")
    query = {"symbol": "BTCUSDT", "origClientOrderId": "late"}
    assert refused(simulator.signed("GET", "/api/v3/order", **query))[0] == -2013
    assert simulator.signed("GET", "/api/v3/allOrders", symbol="BTCUSDT").json() == []
    assert simulator.signed("GET", "/api/v3/myTrades", symbol="BTCUSDT").json() == []
    simulator.advance(3000)
    assert simulator.signed("GET", "/api/v3/order", **query).json()["status"] == "FILLED"
    assert len(simulator.signed("GET", "/api/v3/myTrades", symbol="BTCUSDT").json()) == 1


def test_an_old_order_that_never_traded_is_archived(simulator: Simulator) -> None:
    order = simulator.order(price=below(simulator, "0.3")).json()
    query = {"symbol": "BTCUSDT", "orderId": order["orderId"]}
    simulator.signed("DELETE", "/api/v3/order", **query)
    simulator.advance(91 * 6 * H4)
    assert refused(simulator.signed("GET", "/api/v3/order", **query))[0] == -2026


def test_more_than_the_balance_is_refused_and_nothing_is_placed(simulator: Simulator) -> None:
    poor = (-2010, "Account has insufficient balance for requested action.")
    assert refused(simulator.order(type="MARKET", quantity="20")) == poor
    assert refused(simulator.order(price=below(simulator), quantity="20")) == poor
    assert refused(simulator.order(type="MARKET", side="SELL", quantity="1.001")) == poor
    assert simulator.truth()["orders"] == []
    assert simulator.balance("USDT")["free"] == "100000.00000000"


def test_after_a_buy_the_fee_is_missing_for_a_sale_of_the_same_size(simulator: Simulator) -> None:
    account = {"key": OTHER_KEY, "secret": OTHER_SECRET}
    simulator.order(type="MARKET", quantity="0.001", **account)
    sale = simulator.order(type="MARKET", side="SELL", quantity="0.001", **account)
    assert refused(sale)[0] == -2010


def test_balances_hold_through_a_storm_of_orders(simulator: Simulator) -> None:
    chance = random.Random(11)
    simulator.control("settings", limits=False, taker_fraction="0.5", fill_parts=3)
    for n in range(150):
        price = tick(Decimal(simulator.price()) * Decimal(chance.uniform(0.97, 1.03)))
        kind = chance.choice(["LIMIT", "LIMIT", "MARKET", "STOP_LOSS"])
        simulator.order(
            side=chance.choice(["BUY", "SELL"]),
            type=kind,
            quantity=f"{chance.uniform(0.001, 0.3):.5f}",
            price=price if kind == "LIMIT" else None,
            stopPrice=price if kind == "STOP_LOSS" else None,
        )
        if n % 3 == 0:
            simulator.advance(chance.randrange(H4))
    truth = simulator.truth()
    assert len(truth["fills"]) > 50
    held = {
        asset: Decimal(b["free"]) + Decimal(b["locked"]) for asset, b in truth["balances"][KEY[:4]].items()
    }
    assert all(
        Decimal(b[part]) >= 0 for b in truth["balances"][KEY[:4]].values() for part in ("free", "locked")
    )
    expected = {"USDT": Decimal(100_000), "BTC": Decimal(1), "BNB": Decimal(10)}
    for fill in truth["fills"]:
        sign = 1 if fill["side"] == "BUY" else -1
        expected["BTC"] += sign * Decimal(fill["qty"])
        expected["USDT"] -= sign * Decimal(fill["quoteQty"])
        expected[fill["commissionAsset"]] -= Decimal(fill["commission"])
    assert held == expected


def test_cancel_replace_says_which_half_failed(simulator: Simulator) -> None:
    def replace(mode: str, cancel: str, **params: Any) -> Any:
        given = {
            "symbol": "BTCUSDT",
            "side": "BUY",
            "type": "LIMIT",
            "timeInForce": "GTC",
            "quantity": "0.01",
        }
        given |= {
            "price": below(simulator, "0.5"),
            "cancelReplaceMode": mode,
            "cancelOrigClientOrderId": cancel,
        }
        return simulator.signed("POST", "/api/v3/order/cancelReplace", **given | params)

    simulator.order(price=below(simulator, "0.5"), newClientOrderId="old")
    done = replace("STOP_ON_FAILURE", "old", newClientOrderId="new").json()
    assert (done["cancelResult"], done["newOrderResult"]) == ("SUCCESS", "SUCCESS")
    neither = replace("STOP_ON_FAILURE", "old")
    assert (neither.status_code, neither.json()["code"]) == (400, -2022)
    assert neither.json()["data"]["newOrderResult"] == "NOT_ATTEMPTED"
    half = replace("ALLOW_FAILURE", "old")
    assert (half.status_code, half.json()["code"]) == (409, -2021)
    assert half.json()["data"]["newOrderResponse"]["status"] == "NEW"
    both = replace("ALLOW_FAILURE", "old", quantity=f"{1_000_000 / float(simulator.price()):.3f}")
    assert (both.status_code, both.json()["code"]) == (400, -2022)
    assert both.json()["data"]["newOrderResponse"]["code"] == -2010
    bad = replace("STOP_ON_FAILURE", "new", price="0.001")
    assert refused(bad) == (-1013, "Filter failure: PRICE_FILTER")
    assert {o["clientOrderId"] for o in simulator.signed("GET", "/api/v3/openOrders").json()} >= {"new"}


def test_a_test_order_is_checked_and_not_placed(simulator: Simulator) -> None:
    good = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"}
    assert simulator.signed("POST", "/api/v3/order/test", **good).json() == {}
    bad = simulator.signed("POST", "/api/v3/order/test", **good | {"quantity": "0.000001"})
    assert refused(bad) == (-1013, "Filter failure: LOT_SIZE")
    assert simulator.truth()["orders"] == []


def test_a_symbol_that_is_halted_takes_no_orders(simulator: Simulator) -> None:
    simulator.control("settings", symbols={"BTCUSDT": {"status": "HALT"}})
    assert refused(simulator.order(type="MARKET")) == (-2010, "Market is closed.")
    assert simulator.get("/api/v3/exchangeInfo", symbol="BTCUSDT").json()["symbols"][0]["status"] == "HALT"


def test_trades_can_be_read_by_order_by_number_and_by_time(simulator: Simulator) -> None:
    orders = [simulator.order(type="MARKET").json() for _ in range(3)]
    trades = simulator.signed("GET", "/api/v3/myTrades", symbol="BTCUSDT").json()
    assert [t["orderId"] for t in trades] == [o["orderId"] for o in orders]
    one = simulator.signed("GET", "/api/v3/myTrades", symbol="BTCUSDT", orderId=orders[1]["orderId"]).json()
    assert one == [trades[1]]
    later = simulator.signed("GET", "/api/v3/myTrades", symbol="BTCUSDT", fromId=trades[1]["id"]).json()
    assert later == trades[1:]
    wide = simulator.signed("GET", "/api/v3/myTrades", symbol="BTCUSDT", startTime=0, endTime=90_000_000)
    assert refused(wide)[0] == -1127


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"side": "HOLD"}, -1117),
        ({"type": "WISH"}, -1116),
        ({"price": "1", "timeInForce": "GTX"}, -1115),
        ({"price": None}, -1102),
        ({"quantity": None}, -1102),
        ({"price": "50000", "timeInForce": None}, -1102),
        ({"price": "1E-7"}, -1100),
        ({"quantity": "1,5"}, -1100),
        ({"quantity": "-1"}, -1100),
        ({"quantity": "0.0000000001"}, -1111),
        ({"quantity": ""}, -1105),
        ({"quantity": "0", "price": "50000"}, -1013),
        ({"type": "MARKET", "price": "50000"}, -1106),
        ({"type": "MARKET", "timeInForce": "GTC"}, -1106),
        ({"type": "MARKET", "quoteOrderQty": "10"}, -1128),
        ({"price": "50000", "stopPrice": "50000"}, -1106),
        ({"price": "50000", "newClientOrderId": "with space"}, -1100),
        ({"price": "50000", "newClientOrderId": "x" * 37}, -1100),
        ({"price": "50000", "strategyType": "5"}, -1134),
        ({"price": "50000", "colour": "red"}, -1104),
        ({"symbol": "NOSUCH"}, -1121),
    ],
)
def test_a_malformed_order_is_refused_in_binances_words(
    simulator: Simulator, params: dict[str, Any], code: int
) -> None:
    assert refused(simulator.order(**params))[0] == code
    assert simulator.truth()["orders"] == []

"""Amending an order as Binance documents it: smaller, at its place, with its number; and what else is refused."""

from __future__ import annotations

from typing import Any

import pytest
from order_prices import above, below, refused
from test_order_lists import oco

from tests.exchange import Simulator


def amend(simulator: Simulator, **given: Any) -> Any:
    return simulator.signed("PUT", "/api/v3/order/amend/keepPriority", symbol="BTCUSDT", **given)


def test_a_smaller_quantity_frees_what_is_not_needed_and_keeps_the_order(simulator: Simulator) -> None:
    placed = simulator.order(side="SELL", price=above(simulator, "1.05"), quantity="0.5").json()
    answer = amend(simulator, orderId=placed["orderId"], newQty="0.2", newClientOrderId="smaller").json()
    order = answer["amendedOrder"]
    assert (order["orderId"], order["qty"], order["status"]) == (placed["orderId"], "0.20000000", "NEW")
    assert (order["origClientOrderId"], order["clientOrderId"]) == (placed["clientOrderId"], "smaller")
    assert simulator.balance("BTC") == {"free": "0.80000000", "locked": "0.20000000"}
    found = simulator.signed("GET", "/api/v3/order", symbol="BTCUSDT", origClientOrderId="smaller").json()
    assert found["origQty"] == "0.20000000"
    (told,) = simulator.signed(
        "GET", "/api/v3/order/amendments", symbol="BTCUSDT", orderId=placed["orderId"]
    ).json()
    assert (told["executionId"], told["origQty"], told["newQty"]) == (
        answer["executionId"],
        "0.50000000",
        "0.20000000",
    )
    count = simulator.signed("GET", "/api/v3/rateLimit/order").json()
    assert [limit["count"] for limit in count] == [1, 1]


def test_amending_one_order_of_a_pair_amends_both(simulator: Simulator) -> None:
    placed = oco(simulator, quantity="0.4").json()
    answer = amend(simulator, orderId=placed["orders"][0]["orderId"], newQty="0.1").json()
    assert answer["listStatus"]["orderListId"] == placed["orderListId"]
    assert {order["origQty"] for order in simulator.truth()["orders"]} == {"0.10000000"}
    assert simulator.balance("BTC") == {"free": "0.90000000", "locked": "0.10000000"}


@pytest.mark.parametrize(
    ("quantity", "code", "words"),
    [
        ("0.6", -2038, "quantity increase"),
        ("0.5", -2038, "would change no state"),
        ("0.000001", -1013, "LOT_SIZE"),
        ("", -1102, "newQty"),
    ],
)
def test_what_is_no_smaller_quantity_is_refused(
    simulator: Simulator, quantity: str, code: int, words: str
) -> None:
    placed = simulator.order(side="SELL", price=above(simulator, "1.05"), quantity="0.5").json()
    found = refused(amend(simulator, orderId=placed["orderId"], newQty=quantity))
    assert found[0] == code
    assert words in found[1]
    assert simulator.balance("BTC")["locked"] == "0.50000000"


def test_a_symbol_that_allows_no_amending_and_an_order_that_is_over_are_refused(simulator: Simulator) -> None:
    filled = simulator.order(type="MARKET").json()
    assert refused(amend(simulator, orderId=filled["orderId"], newQty="0.001"))[0] == -2013
    placed = simulator.order(price=below(simulator, "0.9")).json()
    simulator.control("settings", symbols={"BTCUSDT": {"amendAllowed": False}})
    assert refused(amend(simulator, orderId=placed["orderId"], newQty="0.001"))[0] == -2038

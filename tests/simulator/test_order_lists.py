"""Order lists: OCO, OTO and OTOCO as Binance documents them: what is locked, what ends what, and what is told."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from order_prices import above, below, next_candle, refused, tick
from simulated import ACCOUNTS, H4, START, running

from tests.exchange import Simulator


def oco(simulator: Simulator, **changed: Any) -> Any:
    """An OCO that sells: a limit 1 % above the price, a stop 1 % below."""
    given = {
        "symbol": "BTCUSDT",
        "side": "SELL",
        "quantity": "0.01",
        "aboveType": "LIMIT_MAKER",
        "abovePrice": above(simulator, "1.01"),
        "belowType": "STOP_LOSS",
        "belowStopPrice": below(simulator, "0.99"),
        "newOrderRespType": "RESULT",
        **changed,
    }
    given = {name: value for name, value in given.items() if value is not None}
    return simulator.signed("POST", "/api/v3/orderList/oco", **given)


def states(simulator: Simulator) -> list[tuple[str, str]]:
    return [(order["type"], order["status"]) for order in simulator.truth()["orders"]]


def hold(simulator: Simulator, price: str | None) -> None:
    simulator.control("settings", prices={"BTCUSDT": price})
    simulator.advance(1000)


def test_an_oco_locks_its_quantity_once_and_shows_both_orders(simulator: Simulator) -> None:
    answer = oco(simulator, listClientOrderId="mine").json()
    assert answer["contingencyType"] == "OCO"
    assert (answer["listStatusType"], answer["listOrderStatus"]) == ("EXEC_STARTED", "EXECUTING")
    assert answer["listClientOrderId"] == "mine"
    assert [it["type"] for it in answer["orderReports"]] == ["STOP_LOSS", "LIMIT_MAKER"]
    assert [it["workingTime"] for it in answer["orderReports"]] == [-1, answer["transactionTime"]]
    assert {it["orderListId"] for it in answer["orderReports"]} == {answer["orderListId"]}
    assert simulator.balance("BTC")["locked"] == "0.01000000"
    assert len(simulator.signed("GET", "/api/v3/openOrders", symbol="BTCUSDT").json()) == 2
    queried = simulator.signed("GET", "/api/v3/orderList", orderListId=answer["orderListId"]).json()
    assert queried == {name: value for name, value in answer.items() if name != "orderReports"}
    assert simulator.signed("GET", "/api/v3/openOrderList").json() == [queried]
    assert simulator.signed("GET", "/api/v3/orderList", origClientOrderId="mine").json() == queried
    count = simulator.signed("GET", "/api/v3/rateLimit/order").json()
    assert [limit["count"] for limit in count] == [2, 2]


def test_the_limit_expires_the_stop_when_it_is_filled(simulator: Simulator) -> None:
    high = next_candle(simulator)[2]
    oco(simulator, abovePrice=tick(high), belowStopPrice=below(simulator, "0.5"))
    simulator.advance(H4)
    assert states(simulator) == [("STOP_LOSS", "EXPIRED"), ("LIMIT_MAKER", "FILLED")]
    assert simulator.balance("BTC") == {"free": "0.99000000", "locked": "0.00000000"}
    ((listed),) = simulator.signed("GET", "/api/v3/allOrderList").json()
    assert (listed["listStatusType"], listed["listOrderStatus"]) == ("ALL_DONE", "ALL_DONE")
    assert simulator.signed("GET", "/api/v3/openOrderList").json() == []
    (trade,) = simulator.signed("GET", "/api/v3/myTrades", symbol="BTCUSDT").json()
    assert trade["orderListId"] == listed["orderListId"]


def test_the_stop_expires_the_limit_when_it_is_triggered(simulator: Simulator) -> None:
    oco(simulator)
    hold(simulator, below(simulator, "0.98"))
    assert states(simulator) == [("STOP_LOSS", "FILLED"), ("LIMIT_MAKER", "EXPIRED")]
    assert simulator.balance("BTC")["locked"] == "0.00000000"
    assert simulator.balance("BTC")["free"] == "0.99000000"


def test_a_part_of_the_limit_expires_the_stop_and_the_rest_stays(simulator: Simulator) -> None:
    simulator.control("settings", fill_parts=2, fill_gap_ms=10**9)
    high = next_candle(simulator)[2]
    oco(simulator, abovePrice=tick(high), belowStopPrice=below(simulator, "0.5"))
    simulator.advance(H4)
    assert states(simulator) == [("STOP_LOSS", "EXPIRED"), ("LIMIT_MAKER", "PARTIALLY_FILLED")]
    assert simulator.balance("BTC")["locked"] == "0.00500000"


@pytest.mark.parametrize("which", [0, 1])
def test_cancelling_one_order_cancels_the_list(simulator: Simulator, which: int) -> None:
    number = oco(simulator).json()["orders"][which]["orderId"]
    simulator.signed("DELETE", "/api/v3/order", symbol="BTCUSDT", orderId=number)
    assert states(simulator) == [("STOP_LOSS", "CANCELED"), ("LIMIT_MAKER", "CANCELED")]
    assert simulator.balance("BTC")["free"] == "1.00000000"


def test_a_list_is_cancelled_by_its_number_or_name_once(simulator: Simulator) -> None:
    for given in ({"listClientOrderId": "mine"}, {"orderListId": 1}):
        oco(simulator, listClientOrderId="mine")
        answer = simulator.signed("DELETE", "/api/v3/orderList", symbol="BTCUSDT", **given).json()
        assert answer["listStatusType"] == "ALL_DONE"
        assert [it["status"] for it in answer["orderReports"]] == ["CANCELED", "CANCELED"]
    again = simulator.signed("DELETE", "/api/v3/orderList", symbol="BTCUSDT", orderListId=1)
    assert refused(again) == (-2011, "Unknown order sent.")
    unknown = simulator.signed("DELETE", "/api/v3/orderList", symbol="BTCUSDT", orderListId=7)
    assert refused(unknown)[0] == -2011


def test_cancelling_all_orders_of_a_symbol_shows_the_list_once(simulator: Simulator) -> None:
    oco(simulator)
    single = simulator.order(side="SELL", price=above(simulator, "1.05")).json()
    answers = simulator.signed("DELETE", "/api/v3/openOrders", symbol="BTCUSDT").json()
    assert [it.get("contingencyType") for it in answers] == ["OCO", None]
    assert answers[1]["orderId"] == single["orderId"]
    assert simulator.balance("BTC")["free"] == "1.00000000"


def test_one_order_takes_the_place_of_a_list(simulator: Simulator) -> None:
    stop = oco(simulator).json()["orders"][0]["orderId"]
    answer = simulator.signed(
        "POST",
        "/api/v3/order/cancelReplace",
        symbol="BTCUSDT",
        side="SELL",
        type="MARKET",
        quantity="0.01",
        cancelReplaceMode="STOP_ON_FAILURE",
        cancelOrderId=stop,
        cancelRestrictions="ONLY_NEW",
    ).json()
    assert (answer["cancelResult"], answer["newOrderResult"]) == ("SUCCESS", "SUCCESS")
    assert states(simulator) == [("STOP_LOSS", "CANCELED"), ("LIMIT_MAKER", "CANCELED"), ("MARKET", "FILLED")]


def test_prices_that_are_not_around_the_last_one_are_refused_and_nothing_is_locked(
    simulator: Simulator,
) -> None:
    relation = (-2010, "The relationship of the prices for the orders is not correct.")
    assert refused(oco(simulator, abovePrice=below(simulator, "0.995"))) == relation
    assert refused(oco(simulator, belowStopPrice=above(simulator, "1.005"))) == relation
    assert simulator.balance("BTC")["locked"] == "0.00000000"
    assert [it["count"] for it in simulator.signed("GET", "/api/v3/rateLimit/order").json()] == [0, 0]


@pytest.mark.parametrize(
    ("changed", "code", "words"),
    [
        ({"abovePrice": None}, -1102, "'abovePrice'"),
        ({"belowStopPrice": None}, -1102, "'belowStopPrice' or 'belowTrailingDelta'"),
        ({"belowType": None}, -1102, "'belowType'"),
        ({"aboveType": "MARKET", "abovePrice": None}, -1014, "combination"),
        ({"belowTimeInForce": "GTC"}, -1106, "'belowTimeInForce'"),
        ({"quantity": "0.000000001"}, -1111, "'quantity'"),
        ({"quantity": "5"}, -2010, "insufficient balance"),
        ({"symbol": "NOSUCH"}, -1121, "Invalid symbol."),
        ({"stopPrice": "1"}, -1104, "Not all sent parameters were read"),
    ],
)
def test_a_malformed_list_is_refused_with_its_own_parameter(
    simulator: Simulator, changed: dict[str, Any], code: int, words: str
) -> None:
    found = refused(oco(simulator, **changed))
    assert found[0] == code
    assert words in found[1]


def test_a_symbol_without_order_lists_takes_none(simulator: Simulator) -> None:
    simulator.control("settings", symbols={"BTCUSDT": {"ocoAllowed": False}})
    assert refused(oco(simulator)) == (-1013, "OCO orders are not supported for this symbol.")


def oto(simulator: Simulator, kind: str = "oto", **given: Any) -> Any:
    low = next_candle(simulator)[3]
    return simulator.signed(
        "POST",
        f"/api/v3/orderList/{kind}",
        symbol="BTCUSDT",
        workingType="LIMIT",
        workingSide="BUY",
        workingPrice=tick(low),
        workingQuantity="0.01",
        workingTimeInForce="GTC",
        pendingSide="SELL",
        pendingQuantity="0.01",
        **given,
    )


def test_the_second_order_of_an_oto_starts_when_the_first_one_is_filled(simulator: Simulator) -> None:
    answer = oto(
        simulator, pendingType="LIMIT_MAKER", pendingPrice=above(simulator, "1.2"), newOrderRespType="RESULT"
    ).json()
    assert answer["contingencyType"] == "OTO"
    assert [it["status"] for it in answer["orderReports"]] == ["NEW", "PENDING_NEW"]
    assert simulator.balance("BTC")["locked"] == "0.00000000"
    simulator.advance(H4)
    assert states(simulator) == [("LIMIT", "FILLED"), ("LIMIT_MAKER", "NEW")]
    assert simulator.balance("BTC")["locked"] == "0.01000000"


def test_the_second_order_of_an_oto_ends_with_the_first_one(simulator: Simulator) -> None:
    answer = oto(simulator, pendingType="LIMIT_MAKER", pendingPrice=above(simulator, "1.2")).json()
    simulator.signed("DELETE", "/api/v3/order", symbol="BTCUSDT", orderId=answer["orders"][0]["orderId"])
    assert states(simulator) == [("LIMIT", "CANCELED"), ("LIMIT_MAKER", "CANCELED")]
    assert simulator.balance("USDT")["locked"] == "0.00000000"


def test_an_otoco_brings_a_position_with_its_stop_and_its_target(simulator: Simulator) -> None:
    low = next_candle(simulator)[3]
    answer = oto(
        simulator,
        "otoco",
        pendingAboveType="LIMIT_MAKER",
        pendingAbovePrice=above(simulator, "1.2"),
        pendingBelowType="STOP_LOSS",
        pendingBelowStopPrice=tick(Decimal(low) * Decimal("0.9")),
    ).json()
    assert len(answer["orders"]) == 3
    simulator.advance(H4)
    assert states(simulator) == [("LIMIT", "FILLED"), ("STOP_LOSS", "NEW"), ("LIMIT_MAKER", "NEW")]
    hold(simulator, tick(Decimal(low) * Decimal("0.8")))
    assert states(simulator) == [("LIMIT", "FILLED"), ("STOP_LOSS", "FILLED"), ("LIMIT_MAKER", "EXPIRED")]
    assert simulator.balance("BTC")["locked"] == "0.00000000"


def test_a_list_outlives_the_program(tmp_path: Path) -> None:
    given = ["--generate", "2", "--speed", "0", "--state", str(tmp_path / "state"), "--account", ACCOUNTS[0]]
    with running(*given) as simulator:
        simulator.control("clock", time=START)
        answer = oco(simulator).json()
    with running(*given) as simulator:
        (listed,) = simulator.signed("GET", "/api/v3/openOrderList").json()
        assert listed["orderListId"] == answer["orderListId"]
        hold(simulator, below(simulator, "0.98"))
        assert states(simulator) == [("STOP_LOSS", "FILLED"), ("LIMIT_MAKER", "EXPIRED")]

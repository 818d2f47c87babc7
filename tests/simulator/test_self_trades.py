"""Self-trade prevention: orders of one account, or of one trade group, that would trade with each other."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from order_prices import above, below, refused
from simulated import ACCOUNTS, OTHER_KEY, OTHER_SECRET, running
from test_user_stream import api

from tests.exchange import KEY, Simulator

OTHER = {"key": OTHER_KEY, "secret": OTHER_SECRET}


def resting_sale(simulator: Simulator, quantity: str = "0.03", **params: Any) -> tuple[int, str]:
    """A sale two percent above the market: its number and its price."""
    price = above(simulator, "1.02")
    order = simulator.order(side="SELL", quantity=quantity, price=price, **params).json()
    assert order["status"] == "NEW", order
    return order["orderId"], price


def order(simulator: Simulator, number: int, **who: str) -> Any:
    return simulator.signed("GET", "/api/v3/order", symbol="BTCUSDT", orderId=number, **who).json()


def matches(simulator: Simulator, **query: Any) -> Any:
    return simulator.signed("GET", "/api/v3/myPreventedMatches", symbol="BTCUSDT", **query).json()


@pytest.mark.parametrize(
    ("mode", "maker", "taker", "made", "taken"),
    [
        ("EXPIRE_MAKER", "EXPIRED_IN_MATCH", "FILLED",           "0.03", None),
        ("EXPIRE_TAKER", "NEW",              "EXPIRED_IN_MATCH", None,   "0.01"),
        ("EXPIRE_BOTH",  "EXPIRED_IN_MATCH", "EXPIRED_IN_MATCH", "0.03", "0.01"),
        ("DECREMENT",    "NEW",              "EXPIRED_IN_MATCH", "0.01", "0.01"),
        ("TRANSFER",     "NEW",              "EXPIRED_IN_MATCH", "0.01", "0.01"),
    ],
)  # fmt: skip
def test_the_takers_mode_says_what_expires(
    simulator: Simulator, mode: str, maker: str, taker: str, made: str | None, taken: str | None
) -> None:
    number, price = resting_sale(simulator)
    answer = simulator.order(price=price, selfTradePreventionMode=mode).json()
    assert answer["status"] == taker
    told = {"preventedMatchId": 0, "makerOrderId": number, "price": f"{price}000000"}
    told |= {"takerPreventedQuantity": f"{taken}000000"} if taken else {}
    told |= {"makerPreventedQuantity": f"{made}000000"} if made else {}
    assert answer["preventedMatches"] == [told]
    for it, prevented in ((number, made), (answer["orderId"], taken)):
        seen = order(simulator, it)
        assert seen["status"] == (maker if it == number else taker)
        assert seen.get("preventedQuantity") == (prevented and f"{prevented}000000")
        assert seen.get("preventedMatchId") == (0 if prevented else None)
    effective = "DECREMENT" if mode == "TRANSFER" else mode  # the maker has another mode
    (match,) = matches(simulator, orderId=number)
    assert matches(simulator, orderId=answer["orderId"]) == matches(simulator, preventedMatchId=0) == [match]
    assert (match["selfTradePreventionMode"], match["tradeGroupId"]) == (effective, -1)
    assert (match["takerOrderId"], match["makerOrderId"]) == (answer["orderId"], number)
    assert match["transactTime"] == simulator.now
    locked = {"NEW": "0.03" if mode == "EXPIRE_TAKER" else "0.02", "EXPIRED_IN_MATCH": "0.00"}[maker]
    assert simulator.balance("BTC")["locked"] == f"{locked}000000"
    assert simulator.balance("USDT")["locked"] == "0.00000000"


def test_with_mode_none_the_account_trades_with_itself(simulator: Simulator) -> None:
    number, price = resting_sale(simulator)
    answer = simulator.order(price=price, selfTradePreventionMode="NONE").json()
    assert (answer["status"], order(simulator, number)["status"]) == ("FILLED", "PARTIALLY_FILLED")
    assert [fill["price"] for fill in answer["fills"]] == [f"{price}000000"]
    assert "preventedMatches" not in answer
    taken, made = sorted(
        simulator.signed("GET", "/api/v3/myTrades", symbol="BTCUSDT").json(), key=lambda it: it["isMaker"]
    )
    assert (taken["price"], taken["qty"], taken["isBuyer"]) == (made["price"], made["qty"], True)
    assert not made["isBuyer"]
    assert matches(simulator, orderId=number) == []


def test_several_makers_expire_best_price_first(simulator: Simulator) -> None:
    far = simulator.order(side="SELL", price=above(simulator, "1.03")).json()["orderId"]
    near, _ = resting_sale(simulator, "0.01")
    beyond = simulator.order(side="SELL", price=above(simulator, "1.05")).json()["orderId"]
    answer = simulator.order(price=above(simulator, "1.03"), selfTradePreventionMode="EXPIRE_MAKER").json()
    assert [it["makerOrderId"] for it in answer["preventedMatches"]] == [near, far]
    assert [it["preventedMatchId"] for it in answer["preventedMatches"]] == [0, 1]
    assert order(simulator, beyond)["status"] == "NEW"
    assert order(simulator, answer["orderId"])["status"] == "FILLED"


def test_a_smaller_maker_leaves_the_rest_of_the_taker_to_the_market(simulator: Simulator) -> None:
    number, price = resting_sale(simulator, "0.01")
    answer = simulator.order(price=price, quantity="0.03", selfTradePreventionMode="DECREMENT").json()
    assert (answer["status"], answer["executedQty"]) == ("FILLED", "0.02000000")
    assert answer["preventedQuantity"] == "0.01000000"
    assert order(simulator, number)["status"] == "EXPIRED_IN_MATCH"
    assert simulator.balance("BTC") == {"free": "1.01998000", "locked": "0.00000000"}


def test_a_market_order_leaves_a_limit_that_the_price_has_not_reached(simulator: Simulator) -> None:
    number, _ = resting_sale(simulator)
    assert simulator.order(type="MARKET").json()["status"] == "FILLED"
    assert order(simulator, number)["status"] == "NEW"


def test_in_a_deep_book_a_limit_order_leaves_it_too(simulator: Simulator) -> None:
    simulator.control("settings", deep_book=True)
    number, price = resting_sale(simulator)
    assert simulator.order(price=price).json()["status"] == "FILLED"
    assert order(simulator, number)["status"] == "NEW"


def test_a_maker_only_order_may_not_meet_one_of_its_own(simulator: Simulator) -> None:
    price = below(simulator)
    simulator.control("settings", taker_fraction="0")
    number = simulator.order(side="SELL", price=price).json()[
        "orderId"
    ]  # below the market, and not filled yet
    answer = simulator.order(type="LIMIT_MAKER", price=price)
    assert refused(answer) == (-2010, "Order would immediately match and take.")
    assert order(simulator, number)["status"] == "NEW"


def test_what_depends_on_an_expired_maker_expires_as_well(simulator: Simulator) -> None:
    pair = {
        "symbol": "BTCUSDT",
        "side": "SELL",
        "quantity": "0.01",
        "aboveType": "LIMIT_MAKER",
        "abovePrice": above(simulator, "1.02"),
        "belowType": "STOP_LOSS",
        "belowStopPrice": below(simulator, "0.98"),
    }
    simulator.signed("POST", "/api/v3/orderList/oco", **pair)
    simulator.order(price=pair["abovePrice"], selfTradePreventionMode="EXPIRE_MAKER")
    stop, limit, _ = simulator.truth()["orders"]
    assert (limit["status"], stop["status"]) == ("EXPIRED_IN_MATCH", "EXPIRED")
    (listed,) = simulator.signed("GET", "/api/v3/allOrderList").json()
    assert listed["listOrderStatus"] == "ALL_DONE"
    assert simulator.balance("BTC")["locked"] == "0.00000000"


def test_a_symbol_can_forbid_a_mode(simulator: Simulator) -> None:
    changed = {"allowedSelfTradePreventionModes": ["NONE"], "defaultSelfTradePreventionMode": "NONE"}
    simulator.control("settings", symbols={"BTCUSDT": changed})
    answer = simulator.order(price=below(simulator), selfTradePreventionMode="DECREMENT")
    assert refused(answer) == (
        -1013,
        "This symbol does not allow the specified self-trade prevention mode.",
    )
    assert simulator.order(price=below(simulator)).json()["selfTradePreventionMode"] == "NONE"


def test_other_accounts_trade_unless_they_are_in_one_group(simulator: Simulator) -> None:
    number, price = resting_sale(simulator, "0.01", selfTradePreventionMode="TRANSFER")
    buying = {"price": price, "quantity": "0.005", "selfTradePreventionMode": "TRANSFER", **OTHER}
    assert "preventedMatches" not in simulator.order(**buying).json()
    group = {account: {"trade_group": 7} for account in (KEY, OTHER_KEY)}
    simulator.control("settings", accounts=group)
    before = {name: simulator.truth()["balances"][name]["USDT"]["free"] for name in (KEY[:4], OTHER_KEY[:4])}
    answer = simulator.order(**buying).json()
    assert (answer["status"], answer["tradeGroupId"]) == ("EXPIRED_IN_MATCH", 7)
    cost = Decimal(price) * Decimal("0.005")
    moved = {
        name: Decimal(simulator.truth()["balances"][name]["USDT"]["free"]) - Decimal(free)
        for name, free in before.items()
    }
    assert moved == {KEY[:4]: cost, OTHER_KEY[:4]: -cost}
    assert simulator.balance("BTC") == {"free": "0.99000000", "locked": "0.00500000"}
    (match,) = matches(simulator, orderId=number)
    assert match == matches(simulator, orderId=answer["orderId"], **OTHER)[0]
    assert (match["tradeGroupId"], match["selfTradePreventionMode"]) == (7, "TRANSFER")
    assert simulator.signed("GET", "/api/v3/account", **OTHER).json()["tradeGroupId"] == 7


@pytest.mark.parametrize("query", [{}, {"orderId": 1, "preventedMatchId": 1}, {"fromPreventedMatchId": 1}])
def test_prevented_matches_are_asked_for_by_order_or_number(
    simulator: Simulator, query: dict[str, int]
) -> None:
    answer = simulator.signed("GET", "/api/v3/myPreventedMatches", symbol="BTCUSDT", **query)
    assert refused(answer)[0] == -1128


async def test_the_user_data_stream_tells_of_prevention(simulator: Simulator) -> None:
    async with api(simulator) as ws:
        await ws.signed("userDataStream.subscribe.signature")
        number, price = resting_sale(simulator)
        answer = simulator.order(price=price, selfTradePreventionMode="EXPIRE_BOTH").json()
        _, _, made, taken = await ws.reports(4)
        told = (await ws.signed("myPreventedMatches", symbol="BTCUSDT", orderId=number))["result"]
    assert told == matches(simulator, orderId=number)
    for report, own, other, part in (
        (made, number, answer["orderId"], "0.03000000"),
        (taken, answer["orderId"], number, "0.01000000"),
    ):
        assert (report["x"], report["X"], report["i"]) == ("TRADE_PREVENTION", "EXPIRED_IN_MATCH", own)
        assert (report["v"], report["U"], report["A"], report["B"]) == (0, other, part, part)
        assert (report["pl"], report["pL"], report["l"]) == ("0.01000000", f"{price}000000", "0.00000000")
        assert "u" not in report


def test_prevented_matches_outlive_the_program(tmp_path: Path) -> None:
    options = (
        "--generate",
        "2",
        "--speed",
        "0",
        "--state",
        str(tmp_path / "state"),
        "--account",
        ACCOUNTS[0],
    )
    with running(*options) as simulator:
        number, price = resting_sale(simulator)
        simulator.order(price=price, selfTradePreventionMode="DECREMENT")
        known = matches(simulator, orderId=number)
    with running(*options) as simulator:
        assert matches(simulator, orderId=number) == known
        simulator.order(price=price, selfTradePreventionMode="DECREMENT")
        assert [it["preventedMatchId"] for it in matches(simulator, orderId=number)] == [0, 1]
        assert order(simulator, number)["preventedQuantity"] == "0.02000000"


def test_an_expired_order_says_why(simulator: Simulator) -> None:
    ioc = simulator.order(price=below(simulator), timeInForce="IOC").json()
    fok = simulator.order(price=below(simulator), timeInForce="FOK").json()
    assert (ioc["status"], ioc["expiryReason"]) == ("EXPIRED", "UNFILLED_IOC_QUANTITY_EXPIRED")
    assert fok["expiryReason"] == "UNFILLED_FOK_ORDER_EXPIRED"
    simulator.control("settings", taker_fraction="0.5")
    assert simulator.order(type="MARKET").json()["expiryReason"] == "INSUFFICIENT_LIQUIDITY"
    resting = simulator.order(price=below(simulator, "0.5")).json()
    assert "expiryReason" not in order(simulator, resting["orderId"])
    simulator.control("expire", symbol="BTCUSDT")
    assert order(simulator, resting["orderId"])["expiryReason"] == "EXCHANGE_CANCELED"

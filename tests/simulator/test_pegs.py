"""Pegged orders: the price is the book's at the moment when the order comes to it, alone and in lists."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from order_prices import above, below, refused
from simulated import ACCOUNTS, running
from test_order_lists import hold, states
from test_user_stream import api

from tests.exchange import Simulator

TICK = Decimal("0.01")
LEVELS = {"pegOffsetType": "PRICE_LEVEL"}


def best(simulator: Simulator) -> tuple[Decimal, Decimal]:
    told = simulator.get("/api/v3/ticker/bookTicker", symbol="BTCUSDT").json()
    return Decimal(told["bidPrice"]), Decimal(told["askPrice"])


def plain(price: Decimal) -> str:
    return f"{price:.8f}"


def pegged(simulator: Simulator, peg: str = "PRIMARY_PEG", levels: int | None = None, **params: Any) -> Any:
    offset = {} if levels is None else {"pegOffsetType": "PRICE_LEVEL", "pegOffsetValue": levels}
    return simulator.order(pegPriceType=peg, **offset, **params)


@pytest.mark.parametrize(
    ("peg", "side", "levels", "status"),
    [
        ("PRIMARY_PEG", "BUY",  None, "NEW"),
        ("PRIMARY_PEG", "SELL", None, "NEW"),
        ("PRIMARY_PEG", "BUY",  3,    "NEW"),
        ("PRIMARY_PEG", "SELL", 3,    "NEW"),
        ("MARKET_PEG",  "BUY",  None, "FILLED"),
        ("MARKET_PEG",  "SELL", None, "FILLED"),
        ("MARKET_PEG",  "BUY",  100,  "FILLED"),
    ],
)  # fmt: skip
def test_the_book_gives_the_price(
    simulator: Simulator, peg: str, side: str, levels: int | None, status: str
) -> None:
    bid, ask = best(simulator)
    off = TICK * (levels or 0)
    price = bid - off if (side == "BUY") == (peg == "PRIMARY_PEG") else ask + off
    order = pegged(simulator, peg, levels, side=side).json()
    assert (order["status"], order["price"], order["pegPriceType"]) == (status, "0.00000000", peg)
    assert order["peggedPrice"] == plain(price)
    assert order.get("pegOffsetValue") == levels
    assert order.get("pegOffsetType") == (None if levels is None else "PRICE_LEVEL")
    found = simulator.signed("GET", "/api/v3/order", symbol="BTCUSDT", orderId=order["orderId"]).json()
    assert (found["price"], found["peggedPrice"]) == ("0.00000000", plain(price))
    if (side, status) == ("BUY", "NEW"):
        assert simulator.balance("USDT")["locked"] == plain(price * Decimal("0.01"))


def test_a_price_beside_is_the_limit_of_the_peg(simulator: Simulator) -> None:
    bid, _ = best(simulator)
    for price, effective in ((bid - 5, bid - 5), (bid + 5, bid)):
        order = pegged(simulator, price=f"{price:.2f}").json()
        assert (order["price"], order["peggedPrice"]) == (plain(price), plain(effective))
    far = pegged(simulator, price="1.00")
    assert refused(far) == (-1013, "Filter failure: PERCENT_PRICE_BY_SIDE")


@pytest.mark.parametrize(
    ("params", "refusal"),
    [
        ({"pegPriceType": "BEST"},                                              (-1130, "pegPriceType")),
        ({"pegPriceType": "PRIMARY_PEG", "timeInForce": "IOC"},                 (-1014, "combination")),
        ({"pegPriceType": "MARKET_PEG", "type": "LIMIT_MAKER"},                 (-1014, "combination")),
        ({"pegPriceType": "PRIMARY_PEG", "type": "MARKET"},                     (-1014, "combination")),
        ({"pegPriceType": "PRIMARY_PEG", "pegOffsetValue": 1},                  (-1102, "pegOffsetType")),
        ({"pegPriceType": "PRIMARY_PEG", "pegOffsetType": "PRICE_LEVEL"},       (-1102, "pegOffsetValue")),
        ({"pegPriceType": "MARKET_PEG", **LEVELS, "pegOffsetValue": 101},       (-1130, "pegOffsetValue")),
        ({**LEVELS, "pegOffsetValue": 1, "price": "50000"},                     (-1106, "pegOffsetType")),
    ],
)  # fmt: skip
def test_what_cannot_be_pegged(
    simulator: Simulator, params: dict[str, Any], refusal: tuple[int, str]
) -> None:
    code, msg = refused(simulator.order(**params))
    assert code == refusal[0]
    assert refusal[1] in msg


def test_a_symbol_can_forbid_pegs(simulator: Simulator) -> None:
    info = simulator.get("/api/v3/exchangeInfo", symbol="BTCUSDT").json()["symbols"][0]
    assert info["pegInstructionsAllowed"] is True
    simulator.control("settings", symbols={"BTCUSDT": {"pegInstructionsAllowed": False}})
    assert refused(pegged(simulator)) == (-1013, "Pegged orders are not supported for this symbol.")


def test_a_market_peg_may_be_immediate(simulator: Simulator) -> None:
    assert pegged(simulator, "MARKET_PEG", timeInForce="IOC").json()["status"] == "FILLED"
    assert pegged(simulator, type="LIMIT_MAKER", newOrderRespType="RESULT").json()["status"] == "NEW"


@pytest.mark.parametrize("side", ["SELL", "BUY"])
def test_a_stop_gets_its_price_when_it_is_triggered(simulator: Simulator, side: str) -> None:
    at = below(simulator, "0.99") if side == "SELL" else above(simulator, "1.01")
    stop = {"type": "STOP_LOSS_LIMIT", "stopPrice": at, "timeInForce": "GTC", "newOrderRespType": "RESULT"}
    order = pegged(simulator, "MARKET_PEG", side=side, **stop).json()
    assert (order["status"], order["price"]) == ("NEW", "0.00000000")
    assert "peggedPrice" not in order
    hold(simulator, at)
    bid, ask = best(simulator)
    found = simulator.signed("GET", "/api/v3/order", symbol="BTCUSDT", orderId=order["orderId"]).json()
    assert (found["status"], found["peggedPrice"]) == ("FILLED", plain(bid if side == "SELL" else ask))
    held = simulator.balance("USDT" if side == "BUY" else "BTC")
    assert held["locked"] == "0.00000000"


def test_a_triggered_stop_that_cannot_be_paid_expires(simulator: Simulator) -> None:
    at = above(simulator, "1.01")
    stop = {"type": "STOP_LOSS_LIMIT", "stopPrice": at, "timeInForce": "GTC", "newOrderRespType": "RESULT"}
    quantity = (Decimal(100_000) / Decimal(at)).quantize(Decimal("0.00001"), "ROUND_DOWN")
    order = pegged(simulator, "MARKET_PEG", 100, quantity=str(quantity), **stop).json()
    assert order["status"] == "NEW"
    hold(simulator, at)
    found = simulator.signed("GET", "/api/v3/order", symbol="BTCUSDT", orderId=order["orderId"]).json()
    assert (found["status"], found["expiryReason"]) == ("EXPIRED", "REJECTED")
    assert simulator.balance("USDT") == {"free": "100000.00000000", "locked": "0.00000000"}


def test_both_orders_of_an_oco_can_be_pegged(simulator: Simulator) -> None:
    _, ask = best(simulator)
    stop = below(simulator, "0.99")
    answer = simulator.signed(
        "POST",
        "/api/v3/orderList/oco",
        symbol="BTCUSDT",
        side="SELL",
        quantity="0.01",
        aboveType="LIMIT_MAKER",
        abovePegPriceType="PRIMARY_PEG",
        abovePegOffsetType="PRICE_LEVEL",
        abovePegOffsetValue=50,
        belowType="STOP_LOSS_LIMIT",
        belowTimeInForce="GTC",
        belowStopPrice=stop,
        belowPegPriceType="MARKET_PEG",
        newOrderRespType="RESULT",
    ).json()
    below_it, above_it = answer["orderReports"]
    assert above_it["peggedPrice"] == plain(ask + 50 * TICK)
    assert "peggedPrice" not in below_it
    hold(simulator, stop)
    assert states(simulator) == [("STOP_LOSS_LIMIT", "FILLED"), ("LIMIT_MAKER", "EXPIRED")]
    assert simulator.balance("BTC")["locked"] == "0.00000000"


def test_a_pending_order_gets_its_price_when_it_starts(simulator: Simulator) -> None:
    wanted = below(simulator, "0.99")
    answer = simulator.signed(
        "POST",
        "/api/v3/orderList/oto",
        symbol="BTCUSDT",
        workingSide="BUY",
        workingQuantity="0.01",
        workingType="LIMIT",
        workingTimeInForce="GTC",
        workingPrice=wanted,
        pendingSide="SELL",
        pendingQuantity="0.009",
        pendingType="LIMIT_MAKER",
        pendingPegPriceType="PRIMARY_PEG",
        pendingPegOffsetType="PRICE_LEVEL",
        pendingPegOffsetValue=7,
        newOrderRespType="RESULT",
    ).json()
    working, pending = answer["orderReports"]
    assert pending["status"] == "PENDING_NEW"
    assert "peggedPrice" not in pending
    hold(simulator, wanted)
    _, ask = best(simulator)
    found = simulator.signed("GET", "/api/v3/order", symbol="BTCUSDT", orderId=pending["orderId"]).json()
    assert (found["status"], found["peggedPrice"]) == ("NEW", plain(ask + 7 * TICK))
    assert working["price"] == f"{wanted}000000"


def test_a_replacement_can_be_pegged(simulator: Simulator) -> None:
    first = simulator.order(price=below(simulator, "0.9")).json()
    bid, _ = best(simulator)
    answer = simulator.signed(
        "POST",
        "/api/v3/order/cancelReplace",
        symbol="BTCUSDT",
        side="BUY",
        type="LIMIT",
        timeInForce="GTC",
        quantity="0.01",
        cancelReplaceMode="STOP_ON_FAILURE",
        cancelOrderId=first["orderId"],
        pegPriceType="PRIMARY_PEG",
    ).json()
    assert answer["newOrderResponse"]["peggedPrice"] == plain(bid)


async def test_the_user_data_stream_tells_of_pegs(simulator: Simulator) -> None:
    bid, _ = best(simulator)
    async with api(simulator) as ws:
        await ws.signed("userDataStream.subscribe.signature")
        placed = await ws.signed(
            "order.place",
            symbol="BTCUSDT",
            side="BUY",
            type="LIMIT",
            timeInForce="GTC",
            quantity="0.01",
            pegPriceType="PRIMARY_PEG",
            pegOffsetType="PRICE_LEVEL",
            pegOffsetValue=2,
        )
        (report,) = await ws.reports(1)
    price = plain(bid - 2 * TICK)
    assert placed["result"]["peggedPrice"] == price
    assert (report["p"], report["gP"], report["gOT"], report["gOV"], report["gp"]) == (
        "0.00000000",
        "PRIMARY_PEG",
        "PRICE_LEVEL",
        2,
        price,
    )


def test_pegs_outlive_the_program(tmp_path: Path) -> None:
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
        at = below(simulator, "0.99")
        stop = {"type": "STOP_LOSS_LIMIT", "side": "SELL", "stopPrice": at, "timeInForce": "GTC"}
        pegged(simulator, "MARKET_PEG", 4, **stop)
        known = simulator.truth()["orders"]
    with running(*options) as simulator:
        assert simulator.truth()["orders"] == known
        hold(simulator, at)
        (order,) = simulator.truth()["orders"]
        assert (order["status"], order["peggedPrice"]) == ("FILLED", plain(best(simulator)[0] - 4 * TICK))

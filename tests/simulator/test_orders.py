"""Orders: what is filled, when, at which price and fee, and what is refused."""

from __future__ import annotations

import itertools
import random
from decimal import Decimal
from typing import Any

import pytest
from simulator_process import H4, KEY, OTHER_KEY, OTHER_SECRET, Simulator


def tick(value: Decimal | str) -> str:
    return f"{Decimal(value):.2f}"


def below(simulator: Simulator, share: str = "0.999") -> str:
    return tick(Decimal(simulator.price()) * Decimal(share))


def above(simulator: Simulator, share: str = "1.001") -> str:
    return below(simulator, share)


def refused(answer: Any) -> tuple[int, str]:
    assert answer.status_code == 400, answer.text
    return answer.json()["code"], answer.json()["msg"]


def next_candle(simulator: Simulator) -> list[Any]:
    """The running candle as it will be when it has closed."""
    now = simulator.now()
    simulator.advance(2 * H4)
    answer = simulator.get(
        "/api/v3/klines", symbol="BTCUSDT", interval="4h", startTime=now - now % H4, limit=1
    )
    simulator.control("clock", time=now)
    return list(answer.json()[0])


def test_a_market_order_is_filled_at_once_at_the_current_price(simulator: Simulator) -> None:
    answer = simulator.order(type="MARKET").json()
    price = Decimal(simulator.price())
    assert answer["status"] == "FILLED"
    assert [Decimal(f["price"]) for f in answer["fills"]] == [price]
    assert Decimal(answer["cummulativeQuoteQty"]) == price * Decimal("0.01")
    assert simulator.balance("BTC")["free"] == "1.00999000"  # the fee is taken in what was bought
    assert Decimal(simulator.balance("USDT")["free"]) == 100_000 - price * Decimal("0.01")


def test_a_sale_pays_its_fee_in_the_quote_asset(simulator: Simulator) -> None:
    answer = simulator.order(type="MARKET", side="SELL", quantity="0.5").json()
    got = Decimal(answer["cummulativeQuoteQty"])
    assert answer["fills"][0]["commissionAsset"] == "USDT"
    assert Decimal(simulator.balance("USDT")["free"]) == 100_000 + got - Decimal(
        answer["fills"][0]["commission"]
    )


def test_fees_are_taken_in_bnb_where_the_account_says_so(simulator: Simulator) -> None:
    simulator.control("settings", accounts={KEY[:4]: {"fees_in_bnb": True}})
    fill = simulator.order(type="MARKET").json()["fills"][0]
    worth = (
        Decimal(fill["price"]) * Decimal("0.01") * Decimal("0.00075") / Decimal(simulator.price("BNBUSDT"))
    )
    assert fill["commissionAsset"] == "BNB"
    assert abs(Decimal(fill["commission"]) - worth) < Decimal("0.00000001")
    assert simulator.balance("BTC")["free"] == "1.01000000"


def test_a_quote_quantity_buys_as_many_lots_as_it_pays_for(simulator: Simulator) -> None:
    answer = simulator.order(type="MARKET", quantity=None, quoteOrderQty="1000").json()
    spent = Decimal(answer["cummulativeQuoteQty"])
    assert spent <= 1000 < spent + Decimal(simulator.price()) * Decimal("0.00001")


def test_a_limit_order_that_meets_the_market_is_filled_as_taker(simulator: Simulator) -> None:
    answer = simulator.order(price=above(simulator)).json()
    assert answer["status"] == "FILLED"
    assert answer["fills"][0]["price"] == simulator.price()
    assert simulator.truth()["fills"][0]["isMaker"] is False
    assert simulator.balance("USDT")["locked"] == "0.00000000"


def test_a_resting_order_locks_its_cost_and_is_filled_as_maker_when_the_path_reaches_it(
    simulator: Simulator,
) -> None:
    low = next_candle(simulator)[3]
    placed = simulator.order(price=tick(low)).json()
    assert placed["status"] == "NEW"
    assert Decimal(simulator.balance("USDT")["locked"]) == Decimal(low) * Decimal("0.01")
    simulator.advance(H4)
    fill = simulator.truth()["fills"][0]
    assert (fill["isMaker"], fill["price"]) == (True, low)
    end = simulator.now()
    assert placed["transactTime"] < fill["time"] < end
    simulator.control("clock", time=fill["time"])
    assert simulator.price() == low  # the price really was there at that moment


def test_matching_does_not_depend_on_how_the_clock_moves(simulator: Simulator) -> None:
    def outcome(steps: int) -> list[Any]:
        simulator.control("reset")
        simulator.control("clock", time=1_767_225_602_000)
        prices = [tick(Decimal(simulator.price()) * (1 + Decimal(n) / 1000)) for n in (-8, -4, -2, 2, 4, 8)]
        for n, price in enumerate(prices):
            simulator.order(side="BUY" if n < 3 else "SELL", price=price, newClientOrderId=f"order-{n}")
        for _ in range(steps):
            simulator.advance(6 * H4 // steps)
        fills = simulator.truth()["fills"]
        assert fills
        return [(f["clientOrderId"], f["time"], f["price"]) for f in fills]

    assert outcome(1) == outcome(7) == outcome(48)


def test_moving_the_clock_back_changes_no_order(simulator: Simulator) -> None:
    simulator.order(price=tick(next_candle(simulator)[3]))
    simulator.advance(H4)
    before = simulator.truth()
    assert before["fills"]
    simulator.advance(-3 * H4)
    after = simulator.truth()
    assert (after["orders"], after["fills"]) == (before["orders"], before["fills"])


def test_an_order_stays_visible_when_the_clock_goes_back(simulator: Simulator) -> None:
    simulator.order(price=below(simulator, "0.5"))
    simulator.advance(-H4)
    assert len(simulator.signed("GET", "/api/v3/openOrders").json()) == 1


def test_a_filled_orders_client_id_may_be_used_again(simulator: Simulator) -> None:
    first = simulator.order(type="MARKET", newClientOrderId="mine").json()
    second = simulator.order(type="MARKET", newClientOrderId="mine").json()
    assert first["orderId"] != second["orderId"]
    assert len(simulator.truth()["fills"]) == 2
    found = simulator.signed("GET", "/api/v3/order", symbol="BTCUSDT", origClientOrderId="mine").json()
    assert found["orderId"] == second["orderId"]


def test_an_open_orders_client_id_may_not_be_used_again(simulator: Simulator) -> None:
    simulator.order(price=below(simulator), newClientOrderId="mine")
    again = simulator.order(price=below(simulator), newClientOrderId="mine")
    assert refused(again) == (-2010, "Duplicate order sent.")
    assert len(simulator.truth()["orders"]) == 1


def test_immediate_or_cancel_and_fill_or_kill(simulator: Simulator) -> None:
    low = below(simulator)
    assert simulator.order(price=low, timeInForce="IOC").json()["status"] == "EXPIRED"
    assert simulator.order(price=low, timeInForce="FOK").json()["status"] == "EXPIRED"
    simulator.control("settings", taker_fraction="0.4")
    high = above(simulator)
    partly = simulator.order(price=high, timeInForce="IOC").json()
    assert (partly["status"], partly["executedQty"]) == ("EXPIRED", "0.00400000")
    killed = simulator.order(price=high, timeInForce="FOK").json()
    assert (killed["status"], killed["executedQty"]) == ("EXPIRED", "0.00000000")
    assert simulator.balance("USDT")["locked"] == "0.00000000"


def test_an_order_may_be_filled_in_parts_over_the_path(simulator: Simulator) -> None:
    simulator.control("settings", fill_parts=4, fill_gap_ms=60_000)
    opened, low = (Decimal(value) for value in next_candle(simulator)[1:4:2])
    simulator.order(price=tick((opened + low) / 2), newClientOrderId="parts")
    simulator.advance(H4)
    fills = simulator.truth()["fills"]
    assert sum(Decimal(f["qty"]) for f in fills) == Decimal("0.01")
    assert [f["qty"] for f in fills] == ["0.00250000"] * 4
    assert all(later["time"] - earlier["time"] >= 60_000 for earlier, later in itertools.pairwise(fills))


def test_slippage_makes_each_further_part_worse(simulator: Simulator) -> None:
    simulator.control("settings", fill_parts=3, slippage_ticks=10)
    prices = [Decimal(f["price"]) for f in simulator.order(type="MARKET").json()["fills"]]
    assert [p - prices[0] for p in prices] == [0, Decimal("0.1"), Decimal("0.2")]


def test_a_limit_maker_never_takes(simulator: Simulator) -> None:
    assert refused(simulator.order(type="LIMIT_MAKER", price=above(simulator))) == (
        -2010,
        "Order would immediately match and take.",
    )
    resting = simulator.order(type="LIMIT_MAKER", price=below(simulator), newOrderRespType="RESULT")
    assert resting.json()["status"] == "NEW"


def test_a_stop_order_waits_for_its_price_and_then_works(simulator: Simulator) -> None:
    low = next_candle(simulator)[3]
    stop, limit = tick(low), tick(Decimal(low) * Decimal("0.9"))
    placed = simulator.order(
        side="SELL", type="STOP_LOSS_LIMIT", stopPrice=stop, price=limit, timeInForce="GTC"
    )
    assert set(placed.json()) == {"symbol", "orderId", "orderListId", "clientOrderId", "transactTime"}
    query = {"symbol": "BTCUSDT", "orderId": placed.json()["orderId"]}
    waiting = simulator.signed("GET", "/api/v3/order", **query).json()
    assert (waiting["status"], waiting["isWorking"], waiting["workingTime"]) == ("NEW", False, -1)
    simulator.advance(H4)
    done = simulator.signed("GET", "/api/v3/order", **query).json()
    assert (done["status"], done["isWorking"]) == ("FILLED", True)
    assert simulator.truth()["fills"][0]["price"] == low


@pytest.mark.parametrize(
    ("side", "kind", "share"),
    [("SELL", "STOP_LOSS", "1.01"), ("BUY", "TAKE_PROFIT", "1.01"), ("BUY", "STOP_LOSS", "0.99")],
)
def test_a_stop_that_would_trigger_at_once_is_refused(
    simulator: Simulator, side: str, kind: str, share: str
) -> None:
    answer = simulator.order(side=side, type=kind, stopPrice=below(simulator, share))
    assert refused(answer) == (-2010, "Order would trigger immediately.")


def test_a_trailing_stop_follows_the_price_up_and_sells_below_its_top(simulator: Simulator) -> None:
    simulator.order(side="SELL", type="STOP_LOSS", trailingDelta=100)
    simulator.advance(60 * H4)
    truth = simulator.truth()
    assert truth["orders"][0]["status"] == "FILLED"
    until = truth["fills"][0]["time"]
    seen = simulator.get(
        "/api/v3/klines",
        symbol="BTCUSDT",
        interval="1m",
        startTime=truth["orders"][0]["time"],
        endTime=until,
        limit=1000,
    ).json()
    if len(seen) < 1000:
        top = max(Decimal(k[2]) for k in seen)
        assert abs(Decimal(truth["fills"][0]["price"]) / (top * Decimal("0.99")) - 1) < Decimal("0.0001")


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

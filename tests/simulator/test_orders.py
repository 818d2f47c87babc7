"""Orders: what is filled, when, at which price and fee."""

from __future__ import annotations

import itertools
from decimal import Decimal
from typing import Any

import pytest
from order_prices import above, below, next_candle, refused, tick
from simulated import H4

from tests.exchange import KEY, Simulator


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
    end = simulator.now
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


@pytest.mark.parametrize("side", ["BUY", "SELL"])
def test_a_stop_on_the_path_is_filled_at_its_price(simulator: Simulator, side: str) -> None:
    extreme = Decimal(next_candle(simulator)[2 if side == "BUY" else 3])
    stop = tick((extreme + Decimal(simulator.price())) / 2)
    simulator.order(side=side, type="STOP_LOSS", price=None, timeInForce=None, stopPrice=stop)
    simulator.advance(H4)
    assert [f["price"] for f in simulator.truth()["fills"]] == [f"{stop}000000"]


def test_the_clock_may_leap_from_fill_to_fill(simulator: Simulator) -> None:
    low = Decimal(next_candle(simulator)[3])
    for part in range(2):
        simulator.order(price=tick(low + part))
    end, times = simulator.now + H4, []
    while (now := simulator.control("clock", time=end, until_fill=True)["time"]) < end:
        times.append(now)
    assert times == [f["time"] for f in simulator.truth()["fills"]]
    assert len(times) == 2


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

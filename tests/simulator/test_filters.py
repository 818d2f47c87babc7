"""Each filter refuses what breaks it, in Binance's words, and nothing else."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.exchange import KEY, Simulator


def set_filter(simulator: Simulator, name: str, **fields: Any) -> None:
    simulator.control("settings", symbols={"BTCUSDT": {"filters": {name: fields or None}}})


def outcome(simulator: Simulator, **params: Any) -> str:
    """What becomes of an order: its status, or why it was refused."""
    answer = simulator.order(**params)
    body = answer.json()
    if answer.status_code == 200:
        return str(body.get("status", "TAKEN"))
    assert body["code"] == -1013
    return str(body["msg"])


def far(simulator: Simulator, share: str = "0.7") -> str:
    return f"{Decimal(simulator.price()) * Decimal(share):.2f}"


@pytest.mark.parametrize("price", ["100.001", "0.00", "2000000.00", "0.001"])
def test_a_price_off_the_tick_or_out_of_range_breaks_the_price_filter(
    simulator: Simulator, price: str
) -> None:
    set_filter(simulator, "PERCENT_PRICE_BY_SIDE")
    assert outcome(simulator, price=price) in ("Filter failure: PRICE_FILTER", "Invalid price.")


@pytest.mark.parametrize("quantity", ["0.000001", "0.000011", "10000"])
def test_a_quantity_off_the_step_or_out_of_range_breaks_the_lot_size(
    simulator: Simulator, quantity: str
) -> None:
    assert outcome(simulator, price=far(simulator), quantity=quantity) == "Filter failure: LOT_SIZE"
    assert outcome(simulator, type="MARKET", quantity=quantity) == "Filter failure: LOT_SIZE"


def test_a_price_far_from_the_average_breaks_percent_price_by_side(simulator: Simulator) -> None:
    broken = "Filter failure: PERCENT_PRICE_BY_SIDE"
    set_filter(simulator, "PERCENT_PRICE_BY_SIDE", bidMultiplierDown="0.9", bidMultiplierUp="1.1")
    assert outcome(simulator, price=far(simulator, "0.89")) == broken
    assert outcome(simulator, price=far(simulator, "1.12")) == broken
    assert outcome(simulator, price=far(simulator, "0.91")) == "NEW"
    assert outcome(simulator, side="SELL", price=far(simulator, "1.12")) == "NEW"


def test_the_older_percent_price_is_the_same_for_both_sides(simulator: Simulator) -> None:
    set_filter(simulator, "PERCENT_PRICE", multiplierUp="1.1", multiplierDown="0.9", avgPriceMins=5)
    for side, share in (("BUY", "0.89"), ("SELL", "1.12")):
        assert outcome(simulator, side=side, price=far(simulator, share)) == "Filter failure: PERCENT_PRICE"


def test_a_small_or_large_value_breaks_notional(simulator: Simulator) -> None:
    set_filter(simulator, "NOTIONAL", maxNotional="2000", minNotional="500")
    price = far(simulator)
    assert outcome(simulator, price=price, quantity="0.00001") == "Filter failure: NOTIONAL"
    assert outcome(simulator, price=price, quantity="1") == "Filter failure: NOTIONAL"
    assert outcome(simulator, type="MARKET", quantity="0.00001") == "Filter failure: NOTIONAL"
    assert outcome(simulator, type="MARKET", quantity="0.1") == "FILLED"  # the maximum spares market orders
    set_filter(simulator, "NOTIONAL", applyMinToMarket=False, applyMaxToMarket=True)
    assert outcome(simulator, type="MARKET", quantity="0.00001") == "FILLED"
    assert outcome(simulator, type="MARKET", quantity="0.1") == "Filter failure: NOTIONAL"


def test_the_older_min_notional_can_spare_market_orders(simulator: Simulator) -> None:
    set_filter(simulator, "NOTIONAL")
    set_filter(simulator, "MIN_NOTIONAL", minNotional="500", applyToMarket=False, avgPriceMins=5)
    assert outcome(simulator, price=far(simulator), quantity="0.00001") == "Filter failure: MIN_NOTIONAL"
    assert outcome(simulator, type="MARKET", quantity="0.00001") == "FILLED"


def test_market_lot_size_binds_market_orders_only(simulator: Simulator) -> None:
    set_filter(simulator, "MARKET_LOT_SIZE", maxQty="0.05", stepSize="0.01", minQty="0.01")
    assert outcome(simulator, type="MARKET", quantity="0.06") == "Filter failure: MARKET_LOT_SIZE"
    assert outcome(simulator, type="MARKET", quantity="0.015") == "Filter failure: MARKET_LOT_SIZE"
    assert outcome(simulator, type="MARKET", quantity="0.02") == "FILLED"
    assert outcome(simulator, price=far(simulator), quantity="0.06") == "NEW"


def test_an_iceberg_may_not_have_too_many_parts(simulator: Simulator) -> None:
    price = far(simulator)
    assert (
        outcome(simulator, price=price, quantity="0.011", icebergQty="0.001")
        == "Filter failure: ICEBERG_PARTS"
    )
    assert outcome(simulator, price=price, quantity="0.010", icebergQty="0.001") == "NEW"


def test_an_account_may_not_have_too_many_open_orders(simulator: Simulator) -> None:
    set_filter(simulator, "MAX_NUM_ORDERS", maxNumOrders=2)
    price = far(simulator)
    assert [outcome(simulator, price=price) for _ in range(3)] == [
        "NEW",
        "NEW",
        "Filter failure: MAX_NUM_ORDERS",
    ]


def test_an_account_may_not_have_too_many_stop_orders(simulator: Simulator) -> None:
    set_filter(simulator, "MAX_NUM_ALGO_ORDERS", maxNumAlgoOrders=1)
    stop = {"side": "SELL", "type": "STOP_LOSS", "stopPrice": far(simulator)}
    assert outcome(simulator, **stop) == "TAKEN"
    assert outcome(simulator, **stop) == "Filter failure: MAX_NUM_ALGO_ORDERS"
    assert outcome(simulator, price=far(simulator)) == "NEW"


def test_a_position_may_not_grow_too_large(simulator: Simulator) -> None:
    set_filter(simulator, "MAX_POSITION", maxPosition="1.02")  # the account has 1
    price = far(simulator)
    assert outcome(simulator, price=price) == "NEW"
    assert outcome(simulator, price=price) == "NEW"
    assert outcome(simulator, price=price) == "Filter failure: MAX_POSITION"
    assert outcome(simulator, side="SELL", price=far(simulator, "1.3")) == "NEW"


def test_a_trailing_delta_has_bounds(simulator: Simulator) -> None:
    stop = {"side": "SELL", "type": "STOP_LOSS"}
    assert outcome(simulator, **stop, trailingDelta=9) == "Filter failure: TRAILING_DELTA"
    assert outcome(simulator, **stop, trailingDelta=2001) == "Filter failure: TRAILING_DELTA"
    assert outcome(simulator, **stop, trailingDelta=10) == "TAKEN"


def test_a_step_of_zero_switches_its_rule_off(simulator: Simulator) -> None:
    set_filter(simulator, "LOT_SIZE", stepSize="0", minQty="0", maxQty="0")
    set_filter(simulator, "MARKET_LOT_SIZE")
    assert outcome(simulator, type="MARKET", quantity="0.01234567") == "FILLED"


def test_many_orders_can_be_judged_at_once(simulator: Simulator) -> None:
    order = {
        "symbol": "BTCUSDT",
        "side": "BUY",
        "type": "LIMIT",
        "timeInForce": "GTC",
        "price": far(simulator),
    }
    orders = [order | {"quantity": quantity} for quantity in ("0.01", "0.000001", "1e5")]
    judged = simulator.control("check", account=KEY[:4], orders=orders)["answers"]
    assert [answer and answer["code"] for answer in judged] == [None, -1013, -1100]
    assert simulator.truth()["orders"] == []


def test_an_order_type_that_the_symbol_lacks_is_refused(simulator: Simulator) -> None:
    simulator.control("settings", symbols={"BTCUSDT": {"orderTypes": ["LIMIT"]}})
    assert outcome(simulator, type="MARKET") == "Market orders are not supported for this symbol."

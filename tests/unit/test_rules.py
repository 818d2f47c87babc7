"""Values made to fit a symbol's rules: exact, never more than was wanted, refused with the rule's name and bound."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from eightbells.exchange.fields import RulesUnreadable
from eightbells.exchange.rules import RuleBroken, SymbolRules, as_json, wire

D = Decimal
STEPS = [D(10) ** -exponent for exponent in range(-2, 9)] + [D("0.05"), D("0.25"), D(3)]


ENTRY: dict[str, Any] = {
    "symbol": "XUSDT",
    "status": "TRADING",
    "baseAsset": "X",
    "quoteAsset": "USDT",
    "orderTypes": ["LIMIT"],
    "filters": [],
}


def rules(*filters: dict[str, Any], **changed: Any) -> SymbolRules:
    return SymbolRules.from_exchange_info({**ENTRY, "filters": list(filters), **changed})


def lot(step: object, least: object = 0, most: object = 0, kind: str = "LOT_SIZE") -> dict[str, Any]:
    return {"filterType": kind, "stepSize": str(step), "minQty": str(least), "maxQty": str(most)}


def price_filter(tick: object, least: object = 0, most: object = 0) -> dict[str, Any]:
    return {
        "filterType": "PRICE_FILTER",
        "tickSize": str(tick),
        "minPrice": str(least),
        "maxPrice": str(most),
    }


# more digits than any price or balance has, and few enough for exact division by any step
amounts = st.decimals(min_value=D("1e-8"), max_value=D("1e12"), places=12, allow_nan=False)


@given(amounts, st.sampled_from(STEPS))
def test_a_quantity_is_the_largest_on_the_step_that_is_not_more_than_wanted(
    wanted: Decimal, step: Decimal
) -> None:
    assume(wanted >= step)
    quantity = rules(lot(step)).quantity(wanted, D(1))
    assert quantity <= wanted < quantity + step
    assert quantity % step == 0
    assert "E" not in wire(quantity)


@given(amounts, st.sampled_from(STEPS))
def test_a_price_is_on_the_tick_and_on_our_side_of_what_was_wanted(wanted: Decimal, tick: Decimal) -> None:
    assume(wanted >= tick)
    symbol = rules(price_filter(tick))
    bought, sold = symbol.price("BUY", wanted), symbol.price("SELL", wanted)
    assert bought <= wanted <= sold
    assert sold - bought in (0, tick)
    assert bought % tick == sold % tick == 0


def test_the_smallest_numbers_stay_exact() -> None:
    symbol = rules(lot("0.00000001"), price_filter("0.00000001"))
    assert symbol.quantity(D("1E-7"), D(1)) == D("0.0000001")
    assert wire(symbol.quantity(D("1E-7"), D(1))) == "0.0000001"
    assert wire(symbol.price("BUY", D("1.412E-5"))) == "0.00001412"


def test_a_quotient_of_more_digits_than_decimals_have_does_not_round_up() -> None:
    wanted = D("999999999999.9999999999999998")
    symbol = rules(lot("0.05"), price_filter("0.05"))
    assert symbol.quantity(wanted, D(1)) == symbol.price("BUY", wanted) == D("999999999999.95")
    assert symbol.price("SELL", wanted) == D("1000000000000.00")


@pytest.mark.parametrize("step", [0, "0.0000000000001"])
@pytest.mark.parametrize(
    ("digits", "kept"), [({}, 8), ({"baseAssetPrecision": 3, "quoteAssetPrecision": 3}, 3)]
)
def test_a_step_of_zero_or_of_too_many_digits_leaves_those_of_the_asset(
    step: object, digits: dict[str, Any], kept: int
) -> None:
    symbol, wanted = rules(lot(step), price_filter(step), **digits), D("0.123456789")
    unit = D(10) ** -kept
    assert symbol.quantity(wanted, D(1)) == symbol.price("BUY", wanted) == wanted // unit * unit
    assert symbol.price("SELL", wanted) == wanted // unit * unit + unit


NO_NUMBER = [
    None,
    "",
    "abc",
    "NaN",
    float("nan"),
    "Infinity",
    "-0.1",
    -1,
    True,
    [],
    {},
    "1E+999999",
    "1E-999999",
]
ODD: list[tuple[dict[str, Any], str]] = [
    ({"filters": None}, "filters is null or missing"),
    ({"filters": "none"}, "filters is none"),
    ({"filters": [lot("0.1"), lot("0.2")]}, "lists the filter LOT_SIZE twice"),
    ({"filters": [{"stepSize": "1"}]}, "filterType is null or missing"),
    ({"orderTypes": None}, "orderTypes is null or missing"),
    ({"orderTypes": []}, r"orderTypes is \[\]"),
    ({"orderTypes": "LIMIT"}, "orderTypes is LIMIT"),
    ({"baseAsset": None}, "baseAsset is null or missing"),
    ({"quoteAsset": 5}, "quoteAsset is 5"),
    ({"status": ""}, "status is "),
    ({"baseAssetPrecision": None}, "baseAssetPrecision is null or missing"),
    ({"baseAssetPrecision": -1}, "baseAssetPrecision is -1"),
    ({"quoteAssetPrecision": 8.5}, "quoteAssetPrecision is 8.5"),
    *[
        ({"filters": [{"filterType": "LOT_SIZE", "stepSize": step}]}, "LOT_SIZE.stepSize is ")
        for step in NO_NUMBER
    ],
    (
        {"filters": [{"filterType": "PRICE_FILTER", "tickSize": None}]},
        "PRICE_FILTER.tickSize is null or missing",
    ),
    (
        {"filters": [{"filterType": "MAX_NUM_ORDERS", "maxNumOrders": "many"}]},
        "MAX_NUM_ORDERS.maxNumOrders is many",
    ),
    ({"filters": [{"filterType": "NOTIONAL", "applyMinToMarket": "no"}]}, "NOTIONAL.applyMinToMarket is no"),
    (
        {"filters": [{"filterType": "PERCENT_PRICE", "multiplierUp": None}]},
        "PERCENT_PRICE.multiplierUp is null or missing",
    ),
]


@pytest.mark.parametrize(("changed", "words"), ODD, ids=str)
def test_an_entry_that_cannot_be_read_is_no_rule_at_all(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(RulesUnreadable, match=words) as raised:
        SymbolRules.from_exchange_info({**ENTRY, **changed})
    assert "\n" not in str(raised.value)


def test_an_entry_without_a_field_that_is_needed_cannot_be_read() -> None:
    for name in ENTRY:
        with pytest.raises(RulesUnreadable, match=name):
            SymbolRules.from_exchange_info({key: value for key, value in ENTRY.items() if key != name})


@pytest.mark.parametrize("value", [float("nan"), "a\x00b", "\ud800"], ids=ascii)
def test_an_entry_that_postgres_cannot_keep_cannot_be_read(value: object) -> None:
    with pytest.raises(RulesUnreadable):
        as_json({**ENTRY, "something": value})


def test_numbers_may_be_numbers() -> None:
    symbol = rules(
        {"filterType": "LOT_SIZE", "stepSize": 0.01, "minQty": 0, "maxQty": 1e6}, baseAssetPrecision="8"
    )
    assert symbol.quantity(D("0.129"), D(1)) == D("0.12")
    assert rules({"filterType": "MAX_NUM_ORDERS", "maxNumOrders": "200"}).max_orders == 200


def test_a_symbol_without_filters_takes_anything_but_nothing() -> None:
    assert rules().quantity(D(5), D(1)) == 5
    with pytest.raises(RuleBroken, match="is nothing"):
        rules().quantity(D(0), D(1))


def test_a_quantity_above_the_maximum_is_cut_to_it() -> None:
    assert rules(lot("0.1", most=50)).quantity(D(60), D(1)) == 50


def test_a_market_order_keeps_to_both_lots() -> None:
    symbol = rules(lot("0.1", most=50), lot("0.5", most=20, kind="MARKET_LOT_SIZE"))
    assert symbol.quantity(D("30.3"), D(1)) == D("30.3")
    assert symbol.quantity(D("10.3"), D(1), market=True) == D("10.0")
    assert symbol.quantity(D("30.3"), D(1), market=True) == 20


@pytest.mark.parametrize(
    ("filters", "quantity", "price", "market", "words"),
    [
        ([lot("0.1", least="0.5")], "0.4", "1", False, "XUSDT quantity 0.4 is below the minimum 0.5"),
        ([{"filterType": "NOTIONAL", "minNotional": "10"}], "9", "1", False, "notional 9 is below the minimum 10"),
        ([{"filterType": "MIN_NOTIONAL", "minNotional": "10"}], "9", "1", False, "notional 9 is below the minimum 10"),
        (
            [{"filterType": "NOTIONAL", "minNotional": "10", "applyMinToMarket": True}], "9", "1", True,
            "notional 9 is below the minimum 10",
        ),
        ([{"filterType": "NOTIONAL", "maxNotional": "10"}], "11", "1", False, "notional 11 is above the maximum 10"),
    ],
)  # fmt: skip
def test_a_broken_rule_is_named_with_its_bound(
    filters: list[dict[str, Any]], quantity: str, price: str, market: bool, words: str
) -> None:
    with pytest.raises(RuleBroken, match=words):
        rules(*filters).quantity(D(quantity), D(price), market=market)


def test_a_notional_that_does_not_apply_to_market_orders_does_not() -> None:
    symbol = rules({"filterType": "NOTIONAL", "minNotional": "10", "applyMinToMarket": False})
    assert symbol.quantity(D(9), D(1), market=True) == 9


@pytest.mark.parametrize(
    ("wanted", "words"), [("0.5", "below the minimum 1"), ("101", "above the maximum 100")]
)
def test_a_price_out_of_bounds_is_refused(wanted: str, words: str) -> None:
    with pytest.raises(RuleBroken, match=words):
        rules(price_filter("0.1", 1, 100)).price("BUY", D(wanted))


def test_a_price_below_the_tick_is_refused() -> None:
    with pytest.raises(RuleBroken, match=r"price 0\.004 is below the tick 0\.01"):
        rules(price_filter("0.01")).price("BUY", D("0.004"))

"""Stops, targets, parts and protections of the event engine, each on a few candles that are reckoned by hand."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from tests.backtest.past import ABOVE, FIRST, given, past, tried
from tests.backtest.test_engine import MARKET, RISING, STEP, filled

D = Decimal
BOUGHT = [*RISING[:3], (102, 110, 101, 108)]  # 9.80392156 coins at 102, 1000 in all
PRICED = {
    **ABOVE,
    "kind": "tests.backtest.levels:Priced",
    "parameters": {"stop": 95, "take_profit": 120},
}


def listing(history):
    """The history of a symbol that takes order lists and trailing stops."""
    types = history.rules.order_types | {"LIMIT_MAKER"}
    rules = replace(history.rules, takes_lists=True, order_types=types, trailing=(10, 2000))
    return replace(history, rules=rules)


def states(result, leg):
    return [
        (it.type, it.stop_price or it.price, str(it.state)) for it in result.orders.values() if it.leg == leg
    ]


@pytest.mark.parametrize(
    ("candle", "leg", "price"),
    [
        ((108, 121, 107, 119), "target", D(120)),
        ((108, 112, 95, 101), "stop", D(95)),
        ((108, 121, 94, 101), "stop", D(95)),
        ((90, 121, 90, 101), "stop", D(90)),
        ((108, 112, 96, 101), None, None),
    ],
    ids=["the target", "the stop", "both", "a gap below the stop", "neither"],
)
@pytest.mark.parametrize("lists", [False, True], ids=["alone", "in one list"])
def test_the_stop_and_the_target_of_an_opinion(candle, leg, price, lists):
    history = past([*BOUGHT, candle])
    result = tried(given([PRICED], trading=MARKET), listing(history) if lists else history)
    sold = [it for it in filled(result) if it[0] != "entry"]
    assert sold == ([] if leg is None else [(leg, price, FIRST + 4 * STEP)])
    if leg == "target" and lists:
        assert states(result, "target") == [("LIMIT_MAKER", D(120), "FILLED")]
        assert states(result, "stop") == [("STOP_LOSS", D(95), "EXPIRED")]
        assert result.fills[-1].liquidity == "maker"
    both = [note for note in result.notes if "both the stop and the target" in note]
    assert len(both) == (leg == "stop" and candle[1] == 121 and candle[0] > 95)


def test_a_target_of_a_candle_in_which_a_limit_was_bought_counts_only_at_its_close():
    entry = {**PRICED, "parameters": {"take_profit": 120}}
    candles = [*RISING[:3], (104, 125, 100, 119), (119, 121, 118, 119)]
    result = tried(given([entry]), past(candles))
    assert filled(result) == [("entry", D(101), FIRST + 3 * STEP), ("target", D(120), FIRST + 4 * STEP)]


def test_a_weight_is_a_share_of_the_capital():
    entry = {**PRICED, "parameters": {"weight": 0.25}}
    (fill,) = tried(given([entry], trading=MARKET), past(RISING)).fills
    assert fill.quantity == D("2.45098039")  # 250 at 102


def test_a_target_is_followed_by_a_cooldown_as_a_stop_is():
    candles = [*BOUGHT, (108, 121, 107, 119), (119, 119, 118, 118)]
    result = tried(given([PRICED], trading=MARKET), past(candles))
    assert any("its target sold at" in reason for *_, reason in result.refused)
    assert len(filled(result, "entry")) == 1


def test_a_holding_beyond_its_band_is_brought_back_to_its_share():
    entry = {**ABOVE, "rebalance_band": "0.1", "stop_loss": "0.1"}
    candles = [*BOUGHT, (108, 131, 107, 130), (130, 130, 117, 117), (117, 118, 116, 117)]
    result = tried(given([entry], trading=MARKET), past(candles))
    # 9.80392156 coins are worth 1274.51 at 130: 7.69230770 stay; at 117 those are 900.00, within a tenth
    assert [(leg, price) for leg, price, _ in filled(result)] == [("entry", D(102)), ("trim", D(130))]
    assert result.fills[1].quantity == D("2.11161386")
    stops = [(it.quantity, str(it.state)) for it in result.orders.values() if it.leg == "stop"]
    assert stops == [(D("9.80392156"), "CANCELED"), (D("7.69230770"), "OPEN")]


def test_a_holding_below_its_band_is_bought_up():
    entry = {**ABOVE, "rebalance_band": "0.05", "parameters": {"level": 50}}
    candles = [(100, 100, 100, 100), (100, 100, 100, 100), (100, 100, 80, 80), (80, 80, 80, 80)]
    result = tried(given([entry], trading=MARKET, risk={"price_collar": "0"}), past(candles))
    # 10 coins at 100, worth 800 at 80; nothing of the capital is left for the other 200
    assert [it.quantity for it in result.fills] == [D(10)]
    assert any("the allocated capital is spent" in reason for *_, reason in result.refused)
    half = {**entry, "kind": PRICED["kind"], "parameters": {"level": 50, "weight": 0.5}}
    result = tried(given([half], trading=MARKET), past(candles))
    assert [(it.quantity, it.price) for it in result.fills] == [(D(5), D(100)), (D("1.25"), D(80))]


def test_a_position_is_bought_and_sold_in_parts():
    entry = {**ABOVE, "scale_steps": 2}
    candles = [*BOUGHT, (108, 112, 107, 111), (111, 111, 98, 99), (97, 98, 95, 96), (96, 96, 95, 95)]
    candles += [(94, 95, 94, 94)]
    result = tried(given([entry], trading=MARKET), past(candles))
    found = [(it.order.leg, it.quantity, it.price) for it in result.fills]
    assert found == [
        ("entry", D("4.90196078"), D(102)),  # 500 at 102
        ("entry", D("4.62962962"), D(108)),  # 500 at 108
        ("trim", D("4.76579520"), D(97)),  # half of 9.53159040
        ("exit", D("4.76579520"), D(96)),
    ]
    (trade,) = result.trades
    assert trade.proceeds == D("4.7657952") * (97 + 96)


TRAILING = {**ABOVE, "trailing_stop": "0.1"}


@pytest.mark.parametrize("by_exchange", [False, True], ids=["moved by us", "moved by the exchange"])
@pytest.mark.parametrize(
    ("candle", "price"),
    [
        ((108, 112, 98.5, 111), D(99)),  # a tenth below 110: the low comes before the new high
        ((108, 130, 107, 112), D(117)),  # a tenth below 130: the close comes after the high
        ((108, 112, 101.5, 111), None),
        ((96, 112, 95, 111), D(96)),
    ],
    ids=["the low", "the close after a high", "neither", "a gap"],
)
def test_a_stop_that_follows_the_price(candle, price, by_exchange):
    history = past([*BOUGHT, candle])
    result = tried(given([TRAILING], trading=MARKET), listing(history) if by_exchange else history)
    assert [it for _, it, _ in filled(result, "stop")] == ([] if price is None else [price])
    if by_exchange:
        (stop,) = [it for it in result.orders.values() if it.leg == "stop"]
        assert (stop.trailing_delta, stop.stop_price) == (1000, D("91.8"))
    assert any("low comes before its high" in note for note in result.notes)


def test_the_higher_one_of_two_stops_counts():
    entry = {**TRAILING, "stop_loss": "0.02"}
    result = tried(given([entry], trading=MARKET), past([*RISING[:3], (102, 103, 99.9, 102)]))
    assert filled(result, "stop") == [("stop", D("99.96"), FIRST + 3 * STEP)]


def test_a_stop_below_which_the_next_candle_opens_sells_before_the_decision_does():
    entry = {**ABOVE, "stop_loss": "0.05"}
    result = tried(given([entry], trading=MARKET), past([*BOUGHT, (108, 108, 98, 99), (96, 97, 95, 96)]))
    assert filled(result)[1:] == [("stop", D(96), FIRST + 5 * STEP)]


def test_a_limited_stop_that_a_gap_has_jumped_over_goes_to_market():
    entry = {**ABOVE, "stop_loss": "0.05"}
    trading = {**MARKET, "stop_type": "limit"}
    result = tried(given([entry], trading=trading), past([*BOUGHT, (90, 92, 89, 91)]))
    assert states(result, "stop") == [
        ("STOP_LOSS_LIMIT", D("96.9"), "CANCELED"),
        ("MARKET", None, "FILLED"),
    ]
    assert filled(result, "stop") == [("stop", D(90), FIRST + 4 * STEP)]


def test_an_exit_that_waits_above_the_market_lies_in_one_list_with_the_stop():
    entry = {**ABOVE, "stop_loss": "0.2"}
    trading = {"exit_steps": ["close"], "limit_offset": "0.02"}
    falling = [*BOUGHT, (108, 109, 98, 99), (96, 97.5, 95, 98)]
    result = tried(given([entry], trading=trading), listing(past(falling)))
    assert filled(result, "exit") == [("exit", D("97.02"), FIRST + 5 * STEP)]
    assert [it for it, *_ in states(result, "exit")] == ["LIMIT_MAKER"]


def test_a_sale_makes_room_for_a_purchase_of_the_same_close():
    up = [(99, 99, 99, 99)] * 4 + [(99, 101, 99, 101), (101, 102, 101, 102)]
    down = [*BOUGHT, (108, 108, 98, 99), (98, 98, 97, 98)]
    settings = given(symbols=["BTCUSDT", "ETHUSDT"], trading=MARKET, risk={"max_exposure": "600"})
    result = tried(settings, past(down), past(up, "ETHUSDT"))
    assert [(it.order.leg, it.order.symbol, it.price) for it in result.fills] == [
        ("entry", "BTCUSDT", D(102)),
        ("exit", "BTCUSDT", D(98)),
        ("entry", "ETHUSDT", D(101)),
    ]


def test_so_many_stops_and_nothing_more_is_bought():
    entry = {**ABOVE, "stop_loss": "0.1", "cooldown": 0}
    candles = [*RISING[:3], (102, 110, 90, 108), *[(108, 109, 107, 108)] * 8]
    settings = given([entry], trading=MARKET, risk={"max_stops": 1, "stops_hours": 24})
    result = tried(settings, past(candles))
    assert any("1 stops of above or BTCUSDT in 24 hours" in reason for *_, reason in result.refused)
    # the stop sold in the candle of 12:00; the close of 16:00 on the next day is the first more than a day later
    assert filled(result, "entry")[1][2] == FIRST + 10 * STEP


def test_so_far_below_its_peak_and_nothing_more_is_bought():
    entry = {**ABOVE, "stop_loss": "0.1", "cooldown": 0}
    candles = [*RISING[:3], (102, 110, 90, 108), *[(108, 109, 107, 108)] * 4]
    result = tried(given([entry], trading=MARKET, risk={"max_drawdown": "0.05"}), past(candles))
    assert any("below its peak" in reason for *_, reason in result.refused)
    assert len(filled(result, "entry")) == 1

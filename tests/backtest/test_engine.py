"""The event engine on candles by hand: what is ordered, at which price it is filled, and what is refused."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given as drawn
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from eightbells.backtest.engine import run
from eightbells.backtest.statistics import figures
from eightbells.errors import EightbellsError
from tests.backtest.past import ABOVE, FIRST, given, past, tried, walk

D = Decimal
STEP = 4 * 3600 * 1000
MARKET = {"order_type": "market"}
# flat, then a close above 100, then higher opens
RISING = [(99, 99, 99, 99), (99, 99, 99, 99), (99, 101, 99, 101), (102, 110, 101, 108), (108, 112, 107, 111)]


def filled(result, leg=None):
    return [(it.order.leg, it.price, it.at_ms) for it in result.fills if leg in (None, it.order.leg)]


def test_a_market_order_is_filled_at_the_next_open_with_slippage_and_fee():
    settings = given(trading=MARKET, backtest={"taker_fee": "0.001", "slippage": "0.01"})
    result = tried(settings, past(RISING))
    (fill,) = result.fills
    assert (fill.price, fill.at_ms) == (D("103.02"), FIRST + 3 * STEP)
    assert fill.quantity == D("9.80392156")  # 1000 at the open of 102: it is sized at the last price
    assert fill.base_fee == D("0.00980392")
    assert result.trades[0].leg == "open"
    assert result.equity[-1] == 1000 - fill.quote + (fill.quantity - fill.base_fee) * 111


@pytest.mark.parametrize(
    ("kind", "equity"),
    [("received", D(111000) / 102 * D("0.999")), ("quote", D(111000) / 102 - 1)],
)
def test_a_fee_is_taken_out_of_what_the_settings_say(kind, equity):
    settings = given(trading=MARKET, backtest={"taker_fee": "0.001", "fees_in": kind})
    result = tried(settings, past(RISING))
    assert result.equity[-1] == pytest.approx(equity, abs=D("0.0001"))
    in_bnb = given(trading=MARKET, backtest={"taker_fee": "0.001", "fees_in": "bnb"})
    cheaper = tried(in_bnb, past(RISING))
    assert cheaper.fees == pytest.approx(result.fees * D("0.75"), abs=D("0.0001"))
    assert cheaper.equity[-1] > result.equity[-1]


def test_a_limit_order_waits_for_its_price_and_is_renewed_at_each_close():
    candles = [
        *RISING[:3],
        (102, 110, 101.5, 108),
        (109, 112, 108.5, 111),
        (111, 111, 110, 110),
        (110, 110, 90, 105),
        (105, 106, 104, 105),
    ]
    result = tried(given(), past(candles))
    states = [(it.leg, it.price, str(it.state)) for it in result.orders.values()]
    assert states == [
        ("entry", D(101), "CANCELED"),
        ("entry", D(108), "CANCELED"),
        ("entry", D(111), "FILLED"),
    ]
    assert filled(result) == [("entry", D(111), FIRST + 5 * STEP)]


def test_with_cancel_what_was_not_filled_waits_until_the_strategy_was_flat():
    candles = [
        *RISING[:3],
        (102, 110, 101.5, 108),
        *[(108, 112, 107, 111)] * 3,
        (99, 99, 98, 99),
        (99, 101, 99, 101),
    ]
    candles += [(101, 102, 100, 101)]
    result = tried(given(trading={"unfilled": "cancel"}), past(candles))
    assert [str(it.state) for it in result.orders.values()] == ["CANCELED", "FILLED"]
    (refused,) = {reason for *_, reason in result.refused if "was not filled" in reason}
    assert "has not been flat since" in refused


def test_a_limit_at_or_above_the_open_takes_the_open():
    candles = [*RISING[:3], (100, 102, 99, 101)]
    (fill,) = tried(given(), past(candles)).fills
    assert (fill.price, fill.liquidity) == (D(100), "taker")


STOPPED = {**ABOVE, "stop_loss": "0.1"}


@pytest.mark.parametrize(
    ("candle", "price"),
    [((105, 106, 91.8, 105), D("91.8")), ((105, 106, 91.9, 105), None), ((80, 82, 70, 81), D(80))],
)
def test_a_stop_sells_at_its_price_or_at_the_open_that_lies_below_it(candle, price):
    result = tried(given([STOPPED], trading=MARKET), past([*RISING[:3], (102, 110, 101, 108), candle]))
    assert [it for _, it, _ in filled(result, "stop")] == ([] if price is None else [price])
    (stop,) = [it for it in result.orders.values() if it.leg == "stop"]
    assert (stop.type, stop.stop_price) == ("STOP_LOSS", D("91.8"))


def test_a_stop_may_be_reached_in_the_candle_of_the_purchase():
    result = tried(given([STOPPED], trading=MARKET), past([*RISING[:3], (102, 110, 90, 108)]))
    assert [leg for leg, *_ in filled(result)] == ["entry", "stop"]
    assert result.trades[0].profit == pytest.approx(D("-100"), abs=D("0.01"))


def test_after_a_stop_nothing_is_bought_until_the_strategy_was_flat():
    candles = [
        *RISING[:3],
        (102, 110, 90, 108),
        *[(108, 109, 107, 108)] * 3,
        (108, 108, 98, 99),
        (99, 101, 99, 101),
    ]
    candles += [(101, 102, 100, 101)]
    result = tried(given([STOPPED], trading=MARKET), past(candles))
    assert [leg for leg, *_ in filled(result)] == ["entry", "stop", "entry"]
    assert sum(times for (*_, reason), times in result.refused.items() if "cooldown" in reason) == 4


def test_a_number_of_candles_as_cooldown():
    candles = [*RISING[:3], (102, 110, 90, 108), *[(108, 109, 107, 108)] * 4]
    result = tried(given([{**STOPPED, "cooldown": 2}], trading=MARKET), past(candles))
    assert filled(result, "entry")[1][2] == FIRST + 6 * STEP


def test_an_exit_that_does_not_meet_its_limit_goes_to_market():
    falling = [*RISING, (111, 111, 98, 99), (97, 98, 95, 96), (96, 96, 95, 95)]
    steps = {"limit_offset": "0.02", "exit_steps": ["close", "market"]}
    result = tried(given(trading={**steps, "limit_offset": "0.02"}), past(falling))
    sold = [it for it in result.orders.values() if it.leg == "exit"]
    assert [(it.type, str(it.state)) for it in sold] == [("LIMIT", "CANCELED"), ("MARKET", "FILLED")]
    assert filled(result, "exit")[0][1:] == (D(97), FIRST + 6 * STEP)
    assert result.trades[0].reason_out == "close 99"


def test_an_exit_at_the_close_alone_waits_for_it():
    falling = [*RISING, (111, 111, 98, 99), (97, 98, 95, 96), (96, 96.5, 95, 95), (94, 95, 94, 94)]
    result = tried(given(trading={"exit_steps": ["close"], "limit_offset": "0.02"}), past(falling))
    sold = [(it.price, str(it.state)) for it in result.orders.values() if it.leg == "exit"]
    assert sold[0] == (D("97.02"), "FILLED")


@pytest.mark.parametrize(
    ("risk", "words"),
    [
        ({"max_order": "500"}, "the order would be"),
        ({"max_exposure": "10"}, "exposure in all"),
        ({"price_collar": "0.001"}, "from the last price"),
    ],
)
def test_what_the_limits_refuse_is_told_in_the_words_of_the_cycle(risk, words):
    result = tried(given(risk=risk), past(RISING[:4]))
    assert not result.orders
    assert any(words in reason for *_, reason in result.refused)


def test_a_pause_keeps_a_window_from_being_decided_on():
    rows = [*RISING[:2], *RISING[2:]]
    history = past(rows, slots=[0, 1, 12, 13, 14])
    result = tried(given(trading=MARKET), history)
    assert any("spans a pause of 10 candles" in reason for *_, reason in result.refused)
    assert filled(result) == [("entry", D(108), FIRST + 14 * STEP)]


def test_strategies_have_each_their_capital_and_share_the_limits():
    entries = [ABOVE, {**ABOVE, "name": "second", "capital": "500"}]
    result = tried(given(entries, trading=MARKET, risk={"max_exposure": "1200"}), past(RISING))
    assert result.capital == 1500
    assert {it.order.strategy for it in result.fills} == {"above"}
    assert any("exposure in all" in reason for *_, reason in result.refused)


def test_two_symbols_share_the_capital():
    settings = given(symbols=["BTCUSDT", "ETHUSDT"], trading=MARKET)
    result = tried(settings, past(RISING), past(RISING, "ETHUSDT"))
    assert [(it.order.symbol, it.quote) for it in result.fills] == [
        ("BTCUSDT", pytest.approx(500, abs=D("0.0001"))),
        ("ETHUSDT", pytest.approx(500, abs=D("0.0001"))),
    ]


def test_nothing_in_the_span_is_one_clear_line():
    with pytest.raises(EightbellsError, match="there are no candles from"):
        run(given(), [past(RISING)], FIRST + 100 * STEP, FIRST + 200 * STEP)


KINDS = [
    {"name": "trend", "kind": "ma_cross", "capital": "1000", "parameters": {"fast": 3, "slow": 9}},
    {
        "name": "breakout",
        "kind": "donchian",
        "capital": "1000",
        "stop_loss": "0.05",
        "parameters": {"entry": 8, "exit": 5, "memory": 20},
    },
]


@drawn(
    st.integers(0, 10**6), st.sampled_from(["limit", "market"]), st.sampled_from(["received", "quote", "bnb"])
)
@hypothesis_settings(max_examples=15, deadline=None)
def test_all_at_once_and_window_by_window_make_the_same_orders(
    seed: int, order_type: str, fees_in: str
) -> None:
    settings = given(
        KINDS,
        symbols=["BTCUSDT", "ETHUSDT"],
        trading={"order_type": order_type},
        backtest={"taker_fee": "0.001", "maker_fee": "0.0005", "fees_in": fees_in, "slippage": "0.0005"},
    )
    histories = [walk(seed, 120), walk(seed + 1, 120, "ETHUSDT")]
    fast = run(settings, histories, 0, 2**42)
    slow = run(settings, histories, 0, 2**42, decide_only=True)
    assert (fast.orders, fast.equity, fast.trades) == (slow.orders, slow.equity, slow.trades)
    # every coin and every cent is somewhere
    assert fast.equity[-1] == fast.capital + sum(fast.profits.values())
    for order in fast.orders.values():
        assert order.quantity > 0
    dust = sum(D("0.00000001") * 200 for _ in fast.profits)
    assert sum(it.profit for it in fast.trades) == pytest.approx(sum(fast.profits.values()), abs=dust * 1000)
    assert figures(fast).fees == pytest.approx(float(fast.fees))


@drawn(st.lists(st.integers(1, 4), min_size=5, max_size=40), st.integers(1, 6), st.integers(0, 2), st.data())
def test_a_window_is_refused_where_the_gate_refuses_it(
    steps: list[int], window: int, pause: int, data
) -> None:
    slots = np.cumsum(steps)
    history = past([RISING[0]] * len(slots), slots=slots.tolist())
    kept = data.draw(st.lists(st.booleans(), min_size=len(history.absent), max_size=len(history.absent)))
    known = type(history)(
        history.symbol,
        history.frame,
        history.rules,
        history.absent[np.array(kept, dtype=bool)],
        int(history.opens[data.draw(st.integers(0, len(slots) - 1))]) if data.draw(st.booleans()) else None,
    )
    refused = [known.objection(at, window, pause) is not None for at in range(len(slots))]
    assert known.unsound(window, pause).tolist() == refused

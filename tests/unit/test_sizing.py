"""From what a strategy wants to orders: never more than there is, and where the filters allow it, exactly there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eightbells.candles.grid import STEP_MS
from eightbells.exchange.rules import RuleBroken
from eightbells.settings import StrategySettings
from eightbells.settings.sections import TradingSettings
from eightbells.strategies.contract import Opinion, checked
from eightbells.trading.jumps import Close
from eightbells.trading.sizing import (
    BuyingPower,
    Purse,
    Sized,
    Wanted,
    entry_order,
    exit_order,
    order_for,
    yearly_volatility,
)
from tests.unit.test_orders import RULES

D = Decimal
TRADING = TradingSettings()
MARKET = TradingSettings(order_type="market")
LONG, FLAT = Wanted("long", D(20000)), Wanted("flat", D(20000))
EMPTY = Purse(D(0), D(10000), D(10000), 4)
prices = st.decimals(min_value=100, max_value=90000, places=2)
amounts = st.decimals(min_value=0, max_value=100_000, places=8)
quantities = st.decimals(min_value=0, max_value=10, places=8)


def sized(wanted: Wanted, purse: Purse, trading: TradingSettings = TRADING, **settings: Any) -> Sized | None:
    strategy = StrategySettings(name="s", kind="ma_cross", capital=10000, **settings)
    return order_for(wanted, purse, RULES, strategy, trading)


def bought(wanted: Wanted, purse: Purse, **settings: Any) -> Decimal:
    order = sized(wanted, purse, **settings)
    assert order is not None
    assert (order.leg, order.side) == ("entry", "BUY")
    return order.quantity


@given(prices, amounts, quantities, st.integers(1, 9), st.booleans())
def test_by_default_it_is_an_equal_share_of_the_capital_bought_once_and_sold_at_once(
    close: Decimal, cash: Decimal, owned: Decimal, symbols: int, market: bool
) -> None:
    trading = MARKET if market else TRADING
    purse = Purse(owned, cash, cash * 3, symbols)
    buying_power = BuyingPower(owned, min(D(10000) / symbols, cash))
    assert outcome(lambda: sized(Wanted("long", close), purse, trading)) == outcome(
        lambda: entry_order(close, buying_power, RULES, market=market)
    )
    leaving = sized(Wanted("flat", close), purse, replace_steps(trading))
    assert leaving == exit_order(RULES.price("SELL", close), buying_power, RULES, market=market)


def outcome(make: Callable[[], Sized | None]) -> Sized | str | None:
    """An order, or why there is none."""
    try:
        return make()
    except RuleBroken as error:
        return str(error)


def replace_steps(trading: TradingSettings) -> TradingSettings:
    return trading.model_copy(update={"exit_steps": ["close"]})


def test_a_weight_is_a_share_of_the_capital() -> None:
    assert bought(LONG, EMPTY) == D("0.125")
    assert bought(replace(LONG, weight=D("0.3")), EMPTY) == D("0.15")
    assert bought(replace(LONG, weight=D(1)), replace(EMPTY, cash=D(4000))) == D("0.2"), "what is left"


def test_with_equity_profit_compounds_and_a_loss_makes_purchases_smaller() -> None:
    for worth in (D(20000), D(4000)):
        purse = replace(EMPTY, cash=worth, worth=worth)
        assert bought(LONG, purse, sizing="equity") == worth / 4 / 20000
        assert bought(LONG, purse) == min(D(2500), worth) / 20000


def test_a_symbol_that_varies_more_than_the_target_gets_less_and_one_that_varies_less_no_more() -> None:
    for volatility, share in ((D("0.8"), D("0.5")), (D("0.4"), D(1)), (D("0.1"), D(1))):
        wanted = replace(LONG, volatility=volatility)
        assert bought(wanted, EMPTY, target_volatility="0.4") == D("0.125") * share
    with pytest.raises(RuleBroken, match="volatility is not known"):
        sized(LONG, EMPTY, target_volatility="0.4")


def test_the_volatility_is_per_year_and_skips_pauses() -> None:
    closes = [Close(at * STEP_MS, D(100) * (D("1.01") if at % 2 else 1)) for at in range(60)]
    found = yearly_volatility(closes)
    assert found is not None
    assert abs(found - D("0.00995") * D(2190).sqrt()) < D("0.005")
    pause = [Close((70 + at) * STEP_MS, D(100_000) * (D("1.01") if at % 2 else 1)) for at in range(60)]
    paused = yearly_volatility([*closes, *pause])
    assert paused is not None
    assert abs(paused - found) < D("0.005")
    assert yearly_volatility(closes[:10]) is None


def test_a_holding_within_its_band_stays_and_one_beyond_is_brought_back() -> None:
    band = {"rebalance_band": "0.1"}
    assert sized(LONG, replace(EMPTY, owned=D("0.13")), **band) is None
    assert bought(LONG, replace(EMPTY, owned=D("0.1")), **band) == D("0.025")
    trim = sized(LONG, replace(EMPTY, owned=D("0.2")), **band)
    assert trim is not None
    assert (trim.leg, trim.side, trim.type, trim.quantity) == ("trim", "SELL", "MARKET", D("0.075"))
    assert sized(LONG, replace(EMPTY, owned=D("0.2"))) is None, "without a band nothing is brought back"


def test_a_lower_weight_sells_the_difference() -> None:
    trim = sized(
        replace(LONG, weight=D("0.1")), replace(EMPTY, owned=D("0.125"), cash=D(7500)), rebalance_band="0.05"
    )
    assert trim is not None
    assert (trim.leg, trim.quantity) == ("trim", D("0.075"))


def test_what_is_beyond_the_band_and_too_small_to_be_placed_is_told() -> None:
    with pytest.raises(RuleBroken, match="notional 2 is below the minimum 5"):
        sized(replace(LONG, weight=D("0.001")), replace(EMPTY, owned=D("0.0004")), rebalance_band="0.1")


def test_a_position_is_built_and_closed_in_parts() -> None:
    purse, owned = replace(EMPTY, bought=0), D(0)
    for part in range(5):
        order = sized(LONG, replace(purse, owned=owned, bought=part), scale_steps=5)
        assert order is not None
        assert order.quantity == D("0.025")
        owned += order.quantity
    assert sized(LONG, replace(purse, owned=owned, bought=5), scale_steps=5) is None
    legs = []
    for part in range(5):
        order = sized(FLAT, replace(purse, owned=owned, sold=part), scale_steps=5)
        assert order is not None
        assert order.quantity == D("0.025")
        owned -= order.quantity
        legs.append(order.leg)
    assert (owned, legs) == (0, ["trim"] * 4 + ["exit"])


def test_what_is_too_small_to_be_divided_is_sold_at_once() -> None:
    order = sized(FLAT, replace(EMPTY, owned=D("0.0004")), scale_steps=5)
    assert order is not None
    assert (order.leg, order.quantity) == ("exit", D("0.0004"))


kinds = st.fixed_dictionaries(
    {
        "sizing": st.sampled_from(["capital", "equity"]),
        "target_volatility": st.sampled_from(["0", "0.3"]),
        "rebalance_band": st.sampled_from(["0", "0.02", "0.3"]),
        "scale_steps": st.sampled_from([1, 3, 7]),
    }
)


@given(
    kinds,
    st.sampled_from(["long", "flat"]),
    prices,
    prices,
    quantities,
    amounts,
    st.one_of(st.none(), st.decimals(min_value=D("0.001"), max_value=1, places=3)),
    st.decimals(min_value=D("0.01"), max_value=3, places=2),
    st.booleans(),
    st.integers(0, 8),
    st.integers(0, 8),
)
def test_no_order_spends_more_than_is_left_nor_sells_more_than_is_owned(
    settings: dict[str, Any],
    target: Any,
    close: Decimal,
    last: Decimal,
    owned: Decimal,
    cash: Decimal,
    weight: Decimal | None,
    volatility: Decimal,
    market: bool,
    parts: int,
    sold: int,
) -> None:
    purse = Purse(owned, cash, cash + owned * close, 3, parts, sold)
    wanted = Wanted(target, close, last, weight, volatility)
    try:
        order = sized(wanted, purse, MARKET if market else TRADING, **settings)
    except RuleBroken:
        return
    if order is None:
        return
    assert order.quantity % D("0.00001") == 0
    if order.side == "SELL":
        assert 0 < order.quantity <= owned
    else:
        assert target == "long"
        paid = order.quantity * (order.price or max(close, last))
        assert 5 <= paid <= cash


@given(prices, quantities, st.sampled_from(["0.02", "0.1", "0.3"]), st.sampled_from(["0", "0.001"]))
def test_after_rebalancing_and_its_fee_the_holding_is_within_its_band(
    close: Decimal, owned: Decimal, band: str, fee: str
) -> None:
    purse = Purse(owned, D(10000), D(10000), 4)
    try:
        order = sized(Wanted("long", close), purse, rebalance_band=band)
    except RuleBroken:
        return
    if order is not None:
        sign = 1 if order.side == "BUY" else -1
        owned += sign * order.quantity - (order.quantity * D(fee) if sign > 0 else 0)
    goal, step = D(2500), D("0.00001") * close
    assert abs(owned * close - goal) <= goal * D(band) + 2 * step + 5
    again = sized(Wanted("long", close), replace(purse, owned=owned), rebalance_band=band)
    assert again is None, "one order is enough"


@given(
    st.floats(min_value=1e-6, max_value=1e6),
    st.floats(min_value=1e-3, max_value=0.999),
    st.floats(min_value=1.001, max_value=9),
    st.floats(min_value=1e-6, max_value=1),
)
def test_an_opinions_figures_become_the_decimals_that_python_shows(
    close: float, below: float, above: float, weight: float
) -> None:
    found = checked(Opinion("long", "up", close * below, close * above, weight), D(repr(close)))
    assert [float(it) for it in (found.stop, found.take_profit, found.weight) if it is not None] == [
        close * below,
        close * above,
        weight,
    ]
    assert all(isinstance(it, Decimal) for it in (found.stop, found.take_profit, found.weight))


def test_an_opinion_to_be_flat_is_kept_whatever_comes_with_it() -> None:
    plain = Opinion("flat", "down")
    assert checked(Opinion("flat", "down", float("nan"), -1, 7), D(100)) == plain
    assert checked(Opinion("long", "down", weight=0), D(100)) == plain

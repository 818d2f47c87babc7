"""What decides about orders, without a database: states, ids, rules, sizes, limits."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eightbells.exchange.rules import RuleBroken, SymbolRules, wire
from eightbells.settings import RiskSettings
from eightbells.strategies.decision import Decision
from eightbells.trading.outbox import client_order_id, client_order_id_of_attempt
from eightbells.trading.risk import Exposure, Proposal, objection
from eightbells.trading.sizing import BuyingPower, entry_order, exit_order
from eightbells.trading.states import TRANSITIONS, State, of_exchange

D = Decimal
RULES = SymbolRules.from_exchange_info(
    {
        "symbol": "BTCUSDT",
        "status": "TRADING",
        "baseAsset": "BTC",
        "quoteAsset": "USDT",
        "orderTypes": ["LIMIT"],
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000", "tickSize": "0.01"},
            {"filterType": "LOT_SIZE", "minQty": "0.00001", "maxQty": "9000", "stepSize": "0.00001"},
            {
                "filterType": "NOTIONAL",
                "minNotional": "5",
                "applyMinToMarket": True,
                "maxNotional": "9000000",
            },
        ],
    }
)
IDENTITY = ("paper", "trend", "1", "BTCUSDT", 1_614_571_200_000, "entry")


def decision(target: str) -> Decision:
    return Decision(1, "trend", "1", "BTCUSDT", 0, target, D("20000.005"), "because")


def test_an_id_comes_from_the_decision_and_fits_the_exchange():
    first = client_order_id(*IDENTITY, 1)
    assert first == client_order_id(*IDENTITY, 1)
    assert re.fullmatch(r"[a-zA-Z0-9-_]{1,36}", client_order_id(*IDENTITY, 999))
    assert client_order_id_of_attempt(first, 2) == client_order_id(*IDENTITY, 2)


@pytest.mark.parametrize("place", range(6))
def test_any_other_decision_has_another_id(place: int):
    other = [*IDENTITY]
    other[place] = 1_614_585_600_000 if place == 4 else f"{other[place]}x"
    assert client_order_id(*other, 1) != client_order_id(*IDENTITY, 1)


def test_nothing_follows_a_final_state_and_every_status_is_known():
    assert {
        State.FILLED,
        State.CANCELED,
        State.EXPIRED,
        State.DENIED,
        State.REJECTED,
        State.ABSENT,
    }.isdisjoint(TRANSITIONS)
    assert of_exchange("NEW") is State.OPEN
    assert of_exchange("PENDING_LIQUIDATION") is None


@given(st.decimals(min_value=D("1e-9"), max_value=D("1e9"), places=12, allow_nan=False))
def test_a_number_goes_out_in_plain_digits(value: Decimal):
    assert re.fullmatch(r"\d+(\.\d*[1-9])?", wire(value))
    assert D(wire(value)) == value


@pytest.mark.parametrize(
    ("value", "shown"), [("0.0000001", "0.0000001"), ("1E+2", "100"), ("5.00", "5"), ("0", "0")]
)
def test_no_exponent_reaches_the_exchange(value: str, shown: str):
    assert wire(D(value)) == shown


def test_a_limit_price_never_pays_more_nor_sells_for_less():
    assert RULES.price("BUY", D("20000.019")) == D("20000.01")
    assert RULES.price("SELL", D("20000.011")) == D("20000.02")


@pytest.mark.parametrize(("wanted", "words"), [("0.0000099", "below the minimum"), ("0.0001", "notional")])
def test_what_is_too_small_is_refused_with_its_rule(wanted: str, words: str):
    with pytest.raises(RuleBroken, match=words):
        RULES.quantity(D(wanted), D(20000))


def test_an_entry_stays_within_what_may_be_spent():
    sized = entry_order(D(20000), BuyingPower(D(0), D(1000)), RULES, market=False)
    assert sized is not None
    assert (sized.side, sized.price, sized.quantity) == ("BUY", D("20000"), D("0.05"))
    assert sized.quantity * sized.price <= 1000


def test_a_strategy_that_is_where_it_wants_to_be_orders_nothing():
    held, dust = BuyingPower(D("0.05"), D(0)), BuyingPower(D("0.0001"), D(1000))
    assert entry_order(D(20000), held, RULES, market=False) is None
    assert exit_order(D(20000), dust, RULES, market=False) is None


def test_what_is_sold_is_what_is_owned_after_fees_floored_to_the_step():
    sized = exit_order(D(20000), BuyingPower(D("0.04995678"), D(0)), RULES, market=True)
    assert sized is not None
    assert (sized.side, sized.type, sized.quantity) == ("SELL", "MARKET", D("0.04995"))
    assert sized.basis == "0.04995678 owned, 0.00000678 stays as dust"


def test_spent_capital_is_refused():
    with pytest.raises(RuleBroken, match="capital is spent"):
        entry_order(D(20000), BuyingPower(D(0), D(0)), RULES, market=False)


PROPOSAL = Proposal("BTCUSDT", "BUY", D("0.1"), D(20000), D(20000))


@pytest.mark.parametrize(
    ("limits", "exposure", "words"),
    [
        ({"max_order": 1999}, Exposure(), "the order would be 2000"),
        ({"max_symbol_exposure": 2500}, Exposure({"BTCUSDT": D(600)}), "exposure to BTCUSDT would be 2600"),
        ({"max_exposure": 2500}, Exposure({"ETHUSDT": D(600)}), "exposure in all would be 2600"),
        ({"daily_loss": 100}, Exposure(loss_today=D(100)), "100 lost today"),
        ({"max_orders_per_cycle": 3}, Exposure(orders=3), "3 orders in this cycle"),
    ],
)
def test_a_limit_refuses_with_its_figures(limits, exposure, words):
    assert words in (objection(PROPOSAL, exposure, RiskSettings(**limits)) or "")
    assert objection(PROPOSAL, Exposure(), RiskSettings()) is None


def test_a_purchase_far_from_the_last_price_is_refused_on_either_side():
    for price in (D(18000), D(22000)):
        far = Proposal("BTCUSDT", "BUY", D("0.1"), price, D(20000))
        assert "from the last price" in (
            objection(far, Exposure(), RiskSettings(price_collar=D("0.05"))) or ""
        )


def test_a_purchase_without_a_known_price_is_refused_where_there_is_a_collar():
    blind = Proposal("BTCUSDT", "BUY", D("0.1"), D(20000), None)
    assert "last price is not known" in (objection(blind, Exposure(), RiskSettings()) or "")
    assert objection(blind, Exposure(), RiskSettings(price_collar=D(0))) is None


def test_no_limit_refuses_a_sale():
    limits = RiskSettings(max_order=1, max_exposure=1, daily_loss=1, max_orders_per_cycle=1)
    for last in (D(20000), D(10), None):
        sale = Proposal("BTCUSDT", "SELL", D(9), D(20000), last)
        assert objection(sale, Exposure(loss_today=D(5), orders=7), limits) is None

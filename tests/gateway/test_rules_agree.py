"""Our symbol rules against the exchange's filters: all that passes here is accepted there, all refused here refused."""

from __future__ import annotations

import asyncio
import functools
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eightbells.exchange.rules import Situation, SymbolRules, wire
from tests import exchange
from tests.exchange import Simulator
from tests.gateway import at_the_exchange
from tests.gateway.full import FULL
from tests.gateway.orders_at_large import Market, OrderFuzzer, Wanted, judge

ORDERS = 100_000 if FULL else 3_000
EXAMPLES = 400 if FULL else 40
# Filters that the real exchange has had, or may have, and the saved exchangeInfo does not show.
OTHER_FILTERS: list[dict[str, Any]] = [
    {"MAX_POSITION": {"maxPosition": "1000"}},
    {"NOTIONAL": None, "MIN_NOTIONAL": {"minNotional": "10", "applyToMarket": True, "avgPriceMins": 5}},
    {"NOTIONAL": None, "MIN_NOTIONAL": {"minNotional": "10", "applyToMarket": False, "avgPriceMins": 5}},
    {"NOTIONAL": {"maxNotional": "50000", "applyMaxToMarket": True, "applyMinToMarket": False}},
    {
        "PERCENT_PRICE_BY_SIDE": {
            "bidMultiplierUp": "1.05",
            "bidMultiplierDown": "0.5",
            "askMultiplierUp": "2",
        }
    },
    {"PERCENT_PRICE": {"multiplierUp": "1.3", "multiplierDown": "0.7", "avgPriceMins": 5}},
    {"MARKET_LOT_SIZE": {"minQty": "6", "maxQty": "500", "stepSize": "2"}},
    {"LOT_SIZE": {"minQty": "1.5", "maxQty": "900000", "stepSize": "0.25"}},
    {"LOT_SIZE": {"minQty": "0.00003", "maxQty": "900", "stepSize": "0.00003"}},
    {"PRICE_FILTER": {"minPrice": "0.0000000", "maxPrice": "0.00", "tickSize": "0.00000001"}},
    {"MAX_NUM_ORDERS": {"maxNumOrders": 2}},
    {"MAX_NUM_ORDERS": {"maxNumOrders": 3}},
]
FILTERS = (
    "PRICE_FILTER",
    "PERCENT_PRICE",
    "PERCENT_PRICE_BY_SIDE",
    "LOT_SIZE",
    "MARKET_LOT_SIZE",
    "NOTIONAL",
    "MIN_NOTIONAL",
    "MAX_POSITION",
    "MAX_NUM_ORDERS",
)
ZERO = Decimal(0)


@pytest.fixture(scope="module")
def real_market(market_data: Path) -> Iterator[Simulator]:
    with exchange.running("--data", str(market_data), "--symbols", "BTCUSDT", "--no-limits") as simulator:
        yield simulator


@pytest.fixture(scope="module")
def market(real_market: Simulator) -> Market:
    """Every symbol with a price that stands still; a sixth of them with rarer filters, holdings and open orders."""
    random = Random(8)
    listed = _listed(real_market)
    rare = dict(zip(list(listed)[::6], OTHER_FILTERS * len(listed), strict=False))
    crowded = [
        symbol for symbol, filters in rare.items() if filters.keys() & {"MAX_NUM_ORDERS", "MAX_POSITION"}
    ]
    count = {symbol: number % 4 for number, symbol in enumerate(crowded[::2])}
    prices = {symbol: _price(rules, random) for symbol, rules in listed.items()}
    bases = {listed[symbol].base_asset: str(random.choice((0, 900, 990, 1000))) for symbol in rare}
    quotes = {listed[symbol].quote_asset: "1000000000" for symbol in count}
    change = functools.partial(real_market.control, "settings")
    change(prices={symbol: wire(price) for symbol, price in prices.items()})
    change(accounts={"paper": {"deposit": bases | quotes}})
    bought = asyncio.run(at_the_exchange.rest_buys(real_market, listed, prices, count))
    change(symbols={symbol: {"filters": filters} for symbol, filters in rare.items()})
    listed, held = _listed(real_market), at_the_exchange.holdings(real_market)
    situations = {
        symbol: Situation(
            prices[symbol], held.get(rules.base_asset, ZERO) + bought.get(symbol, ZERO), count.get(symbol, 0)
        )
        for symbol, rules in listed.items()
    }
    return Market(listed, situations, tuple(rare))


def _listed(simulator: Simulator) -> dict[str, SymbolRules]:
    entries = simulator.ask("/api/v3/exchangeInfo")["symbols"]
    return {entry["symbol"]: SymbolRules.from_exchange_info(entry) for entry in entries}


def _price(rules: SymbolRules, random: Random) -> Decimal:
    ticks = Decimal(10) ** random.randint(2, 6) + random.randint(0, 99)
    return min(max(rules.tick * ticks, rules.min_price), rules.max_price)


def test_whatever_the_rules_let_through_is_accepted_and_what_they_refuse_is_refused(
    real_market: Simulator, market: Market
) -> None:
    random = Random(20240908)
    fuzzer, symbols = OrderFuzzer(market, random), sorted(market.rules)
    drawn = [
        *symbols,
        *(random.choice(random.choice((symbols, market.rare))) for _ in range(ORDERS - len(symbols))),
    ]
    judged = list(judge(real_market, market, [fuzzer.order(symbol) for symbol in drawn]))
    assert (len(judged), len({one.wanted.symbol for one in judged})) == (ORDERS, 1248)
    wrong = [one for one in judged if not one.agreed]
    told = Counter((one.kind, "refused" if one.broken else "accepted") for one in judged)
    reasons = Counter(one.answer["msg"] for one in judged if one.answer)
    print(f"{ORDERS:,} orders, {len(wrong)} disagreements; {dict(told)}; {dict(reasons)}")
    assert not wrong, f"{len(wrong)} disagreements, the first:\n{wrong[0]}"
    # every edge was looked at from both sides
    assert min(told.values()) > ORDERS / 16
    assert all(reasons[f"Filter failure: {name}"] > 2 for name in FILTERS), reasons


DIGITS = st.decimals(min_value="1e-15", max_value="1e15", allow_nan=False, allow_infinity=False)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=not FULL)
@given(data=st.data())
def test_no_value_however_odd_divides_the_rules_from_the_exchange(
    real_market: Simulator, market: Market, data: st.DataObject
) -> None:
    symbols = st.sampled_from(sorted(market.rules))
    orders = data.draw(
        st.lists(
            st.builds(Wanted, symbols, st.sampled_from(("BUY", "SELL")), DIGITS, st.none() | DIGITS),
            min_size=1,
            max_size=25,
        )
    )
    for one in judge(real_market, market, orders):
        assert one.agreed, str(one)

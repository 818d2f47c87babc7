"""The rule of jumps: what trading explains, and what a person has to."""

from __future__ import annotations

import math
import random
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eightbells.candles.grid import STEP_MS
from eightbells.trading.jumps import LEAST_VOLATILITY, Close, scope_of, volatility
from eightbells.trading.ledger import SMALLEST, Holding, scaled

SIGMAS = st.floats(LEAST_VOLATILITY, 0.2)
CHANGES = st.floats(-10, 10)


def walk(count: int, sigma: float, seed: int = 1) -> list[Close]:
    source, price, found = random.Random(seed), 100.0, []
    for slot in range(count):
        price *= math.exp(source.gauss(0, sigma))
        found.append(Close(slot * STEP_MS, Decimal(f"{price:.8f}")))
    return found


@given(st.integers(2, 500), SIGMAS | st.none())
def test_a_split_across_a_pause_holds_everything_however_volatile_the_symbol(
    slots: int, sigma: float | None
) -> None:
    for ratio in (2, 10, 100, 1000):
        assert scope_of(math.log(ratio), slots, sigma, 15) == "all"
        assert scope_of(-math.log(ratio), slots, sigma, 15) == "all"


@given(CHANGES, SIGMAS)
def test_without_a_pause_a_holding_can_always_be_sold(change: float, sigma: float) -> None:
    assert scope_of(change, 1, sigma, 15) == ("entries" if abs(change) > 15 * sigma else None)


@given(CHANGES, st.integers(1, 500), SIGMAS | st.none(), st.floats(0.1, 100))
def test_the_rule_knows_no_direction_and_a_smaller_change_holds_no_more(
    change: float, slots: int, sigma: float | None, most: float
) -> None:
    scope = scope_of(change, slots, sigma, most)
    assert scope == scope_of(-change, slots, sigma, most)
    if scope is None:
        assert scope_of(change / 2, slots, sigma, most) is None


@given(CHANGES, st.integers(1, 500), SIGMAS | st.none())
def test_0_holds_nothing(change: float, slots: int, sigma: float | None) -> None:
    assert scope_of(change, slots, sigma, 0) is None


@pytest.mark.parametrize(("slots", "change", "scope"), [(1, 0.29, None), (2, 0.29, None), (2, 0.41, "all")])
def test_a_quiet_move_is_trading(slots: int, change: float, scope: str | None) -> None:
    assert scope_of(change, slots, 0.02, 15) == scope


def test_a_pause_allows_for_the_time_that_it_took() -> None:
    assert scope_of(0.12, 2, 0.005, 15) == "all"
    assert scope_of(0.12, 3, 0.005, 15) is None


def test_volatility_is_that_of_the_returns_of_a_slot() -> None:
    assert volatility(walk(181, 0.02)) == pytest.approx(0.02, rel=0.2)
    assert volatility(walk(181, 0.00001)) == LEAST_VOLATILITY
    assert volatility(walk(20, 0.02)) is None
    assert volatility([]) is None


def test_a_jump_across_a_pause_is_no_part_of_the_volatility() -> None:
    before, later = walk(60, 0.02), walk(61, 0.02, seed=2)
    after = [Close(close.open_ms + 100 * STEP_MS, close.price / 1000) for close in later]
    assert volatility([*before, *after]) == pytest.approx(0.02, rel=0.3)


@given(
    st.decimals("0.00000001", "1000000", places=8),
    st.decimals("0.001", "1000", places=3).filter(lambda it: it != 1),
)
def test_a_split_changes_the_number_of_coins_and_no_money(quantity: Decimal, ratio: Decimal) -> None:
    held = Holding(quantity, Decimal(500), Decimal(7)).after("SPLIT", ratio, *[Decimal(0)] * 3)
    assert (held.cost, held.realised) == (500, 7)
    assert 0 <= quantity * ratio - held.quantity < SMALLEST
    assert held.quantity == scaled(quantity, ratio)

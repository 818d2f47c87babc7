"""The kernel against the event engine, and against plain arithmetic."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given as drawn
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from eightbells.backtest import vector
from eightbells.strategies.contract import build
from eightbells.strategies.ma_cross import MovingAverageCross
from tests.backtest.past import FIRST, given, tried, walk

STEP = 4 * 3600 * 1000
ENTRIES = [
    {"name": "trend", "kind": "ma_cross", "capital": "1000", "parameters": {"fast": 3, "slow": 9}},
    {
        "name": "breakout",
        "kind": "donchian",
        "capital": "1000",
        "parameters": {"entry": 8, "exit": 5, "memory": 20},
    },
]


@drawn(st.integers(0, 10**6), st.sampled_from(ENTRIES))
@hypothesis_settings(max_examples=25, deadline=None)
def test_its_trades_are_those_of_the_event_engine(seed: int, entry: dict) -> None:
    history = walk(seed, 150)
    settings = given(
        [entry],
        trading={"order_type": "market"},
        risk={"price_collar": "0"},
        backtest={"taker_fee": "0.001", "fees_in": "quote"},
    )
    result = tried(settings, history)
    long = build(settings.strategies[0]).signals(history.shown)
    long[-1] = long[-2]  # what the last close says can be carried out nowhere
    opened, close = (history.shown[name].to_numpy() for name in ("open", "close"))
    found = vector.trades(opened, close, long)
    bought = [trade for trade in result.trades if trade.opened_ms < result.times[-1]]
    assert [trade.opened_ms for trade in bought] == (FIRST + found.entries * STEP).tolist()
    assert [trade.closed_ms for trade in bought] == (FIRST + found.exits * STEP).tolist()
    assert [float(trade.entry_price) for trade in bought] == pytest.approx(found.paid.tolist())
    assert [float(trade.exit_price) for trade in bought] == pytest.approx(found.brought.tolist())
    fees = [0.001 * float(it.quote) for it in result.fills]
    assert sum(fees) == pytest.approx(float(result.fees), abs=1e-6)


def test_the_outcome_by_hand():
    opened, close = np.array([10.0, 10, 20, 30, 40, 60]), np.array([10.0, 15, 25, 35, 45, 50])
    found = vector.trades(opened, close, np.array([True, True, False, True, True, True]), slippage=0.1)
    assert found.paid.tolist() == pytest.approx([11, 44])
    assert found.brought.tolist() == pytest.approx([27, 50])
    result = vector.outcome(found, fee=0.01)
    first = 27 * 0.99 / (11 * 1.01)
    assert result.total_return == pytest.approx(first * 50 * 0.99 / (44 * 1.01) - 1)
    assert result.trades == 2
    assert result.fees == pytest.approx(0.01 * ((11 + 27) / 11.11 + first * (44 + 50) / 44.44))


def test_who_is_never_long_has_no_trades():
    flat = np.zeros(4, dtype=bool)
    assert vector.outcome(vector.trades(np.ones(4), np.ones(4), flat), 0.1) == vector.Outcome(0.0, 0, 0.0)


def test_each_symbol_and_each_variant_is_tried():
    frames = {symbol: walk(seed, 200).shown for seed, symbol in enumerate(("BTCUSDT", "ETHUSDT"))}
    variants = [MovingAverageCross.Parameters(fast=3, slow=slow) for slow in (9, 20)]
    symbols = vector.of_symbols(MovingAverageCross, variants[0], frames, 0.001)
    points = vector.of_parameters(MovingAverageCross, variants, frames["BTCUSDT"], 0.001)
    assert symbols["BTCUSDT"] == points[0] != points[1]
    assert Decimal(symbols["ETHUSDT"].trades) > 0

"""The cycle against the simulator, and the backtest of the same span: the same orders and equity, to the last digit.

`make parity` does it over years of real candles.
"""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import Engine

from eightbells.backtest.history import History, assumed_rules
from eightbells.universe.members import read, span_timeline
from tests.backtest.parity import FEES, backtest, compare
from tests.backtest.recording import record
from tests.exchange import START, STEP, Simulator

CANDLES, BEFORE = 24, 12
SYMBOLS = ["BTCUSDT", "ETHUSDT"]
EVERY = ["BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT", "XRPUSDT"]
STRATEGIES = [
    {
        "name": "trend",
        "kind": "ma_cross",
        "capital": "10000",
        "stop_loss": "0.01",
        "cooldown": 1,
        "parameters": {"fast": 1, "slow": 4},
    },
    {
        "name": "breakout",
        "kind": "donchian",
        "capital": "10000",
        "stop_loss": "0.02",
        "sizing": "equity",
        "parameters": {"entry": 3, "exit": 2, "memory": 6},
    },
    {
        "name": "rotation",
        "kind": "momentum",
        "capital": "10000",
        "stop_loss": "0.02",
        "rebalance_band": "0.1",
        "parameters": {"lookback": 3, "skip": 1, "top": 1, "rebalance": 2, "volatility": 0.3},
    },
]


@pytest.mark.parametrize("order_type", ["market", "limit"])
def test_the_backtest_does_what_the_cycle_does(simulator: Simulator, engine: Engine, order_type: str) -> None:
    first, last = START, START + (CANDLES - 1) * STEP
    histories = [_history(simulator, symbol, first - BEFORE * STEP, last) for symbol in SYMBOLS]
    settings = {
        "symbols": SYMBOLS,
        "strategies": STRATEGIES,
        "backtest": FEES,
        "trading__order_type": order_type,
        "trading__limit_offset": "-0.002",
    }
    found = record(simulator, engine, histories, first, last, settings)
    result = backtest(found, histories)
    assert not found.problems
    assert not compare(found, result).differences
    assert {it.order.strategy for it in result.fills} == {it["name"] for it in STRATEGIES}
    legs = Counter((it.order.leg, it.order.type, it.liquidity) for it in result.fills)
    liquidity = (
        "taker" if order_type == "market" else "maker"
    )  # below the close: the made-up candles have no gaps
    assert legs["entry", order_type.upper(), liquidity] >= 5
    assert legs["stop", "STOP_LOSS", "taker"] >= 2
    assert sum(many for (leg, *_), many in legs.items() if leg == "exit") >= 3
    assert len(found.equity) == CANDLES


@pytest.mark.parametrize(
    ("sell_left", "rotates"),
    [(False, False), (True, False), (False, True)],
    ids=["keeps", "sells", "rotates"],
)
def test_the_backtest_does_what_the_cycle_does_with_a_universe_by_rule(
    simulator: Simulator, engine: Engine, sell_left: bool, rotates: bool
) -> None:
    strategies = STRATEGIES if rotates else STRATEGIES[:2]
    first, last = START, START + (CANDLES - 1) * STEP
    histories = [_history(simulator, symbol, first - 18 * STEP, last) for symbol in EVERY]
    settings = {
        "symbols": SYMBOLS,
        "strategies": strategies,
        "backtest": FEES,
        "trading__order_type": "market",
        "universe": {"top": 2, "days": 3, "every_days": 1, "older_than_days": 30, "sell_left": sell_left},
    }
    found = record(simulator, engine, histories, first, last, settings)
    with engine.begin() as connection:
        members = read(connection, found.settings, "cycle")
        timeline = span_timeline(connection, found.settings, first - STEP, last)
    result = backtest(found, histories, timeline)
    assert not found.problems
    differences = compare(found, result).differences
    if sell_left or rotates:
        # dust of what was sold keeps its price: no candles are fetched of a symbol that is not held
        assert all(it.startswith("other equity: ") for it in differences)
        assert all(abs(found.equity[at] - result.booked[at]) < Decimal("0.01") for at in found.equity)
    else:
        assert not differences
    left = [it for it in members if it.left_ms is not None]
    assert left
    assert len({it.symbol for it in members}) >= 3
    # some symbol was held when it left: its stop stays, or it is sold at once
    ended = [(it.symbol, it.opened_ms, it.closed_ms) for it in result.trades if it.leg in ("open", "stop")]
    held = [
        closed - gone
        for it in left
        for symbol, opened, closed in ended
        if (gone := it.left_ms or 0) and symbol == it.symbol and opened < gone <= closed
    ]
    assert held
    assert (max(held) > 0) is not sell_left
    assert len(found.equity) == CANDLES


def _history(simulator: Simulator, symbol: str, first: int, last: int) -> History:
    """The simulator's candles, also those that are still to come."""
    simulator.leap(last + STEP)
    rows = simulator.klines(symbol, first, last)
    simulator.leap(START)
    columns = {"open": 1, "high": 2, "low": 3, "close": 4, "volume": 5, "quote_volume": 7, "trades": 8}
    frame = pd.DataFrame({name: [Decimal(row[at]) for row in rows] for name, at in columns.items()})
    opens = np.array([row[0] for row in rows], dtype=np.int64)
    frame.index = pd.DatetimeIndex(pd.to_datetime(opens, unit="ms", utc=True), name="open_time")
    return History(symbol, frame, assumed_rules(symbol))

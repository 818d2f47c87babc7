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
from tests.backtest.parity import FEES, backtest, compare
from tests.backtest.recording import record
from tests.exchange import START, STEP, Simulator

CANDLES, BEFORE = 24, 12
SYMBOLS = ["BTCUSDT", "ETHUSDT"]
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

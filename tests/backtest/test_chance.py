"""The p-value against random entries: foresight is told from chance, and the same draws come again."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import numpy as np

from eightbells.backtest.chance import p_value
from eightbells.backtest.engine import run
from eightbells.backtest.history import History
from eightbells.backtest.result import Result, Trade
from tests.backtest.past import given, walk

TREND = {"name": "trend", "kind": "ma_cross", "capital": "1000", "parameters": {"fast": 3, "slow": 10}}
LASTING = 4


def result_of(history: History, begins: list[int]) -> Result:
    """Trades that begin at the opens of these candles and last `LASTING` candles."""
    opened, opens = history.column("open"), history.opens
    trades = []
    for at in begins:
        paid, brought = opened[at], opened[at + LASTING]
        times = int(opens[at]), int(opens[at + LASTING])
        trades.append(
            Trade(
                "s",
                history.symbol,
                *times,
                Decimal(1),
                paid,
                brought,
                paid,
                brought,
                Decimal(0),
                "exit",
                "",
                "",
            )
        )
    return Result("USDT", Decimal(1000), times=[int(it) for it in opens], trades=trades)


def test_who_knows_the_future_is_told_from_chance():
    history = walk(5, 400)
    opened = history.shown["open"].to_numpy()
    gains = [(opened[at + LASTING] / opened[at], at) for at in range(0, 390, LASTING)]
    best = sorted(at for _, at in sorted(gains)[-20:])
    worst = sorted(at for _, at in sorted(gains)[:20])
    assert p_value(result_of(history, best), [history], draws=999) == 1 / 1000
    assert p_value(result_of(history, worst), [history], draws=999) == 1


def test_entries_at_random_have_p_values_all_over():
    source, history = np.random.default_rng(2), walk(6, 400)
    found = []
    for _ in range(60):
        begins = sorted(int(it) * LASTING for it in source.choice(97, 20, replace=False))
        value = p_value(result_of(history, begins), [history], draws=200)
        assert value is not None
        found.append(value)
    assert 0.35 < float(np.mean(found)) < 0.65
    assert 0 < sum(it < 0.5 for it in found) < 60


def test_a_backtest_gets_the_same_p_value_again_and_none_without_trades():
    history = walk(4, 400)
    result = run(given([TREND]), [history], 0, 2**42)
    assert result.trades
    value = p_value(result, [history], draws=300)
    assert value is not None
    assert 0 < value <= 1
    assert p_value(result, [history], draws=300) == value
    assert p_value(replace(result, trades=[]), [history]) is None

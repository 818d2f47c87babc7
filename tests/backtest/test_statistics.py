"""Figures of equity curves that can be told by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from eightbells.backtest import statistics

DAY = 86_400_000


def test_a_day_counts_by_its_last_candle():
    times = [0, DAY // 6, DAY // 3, DAY, DAY + DAY // 6, 2 * DAY]
    days, returns = statistics.daily_returns(times, np.array([100, 90, 110, 120, 99, 99.0]), 100)
    assert days.tolist() == [0, 1, 2]
    assert returns == pytest.approx([0.1, -0.1, 0])


def test_months_multiply_to_the_whole():
    times = [slot * DAY for slot in range(90)]
    equity = np.linspace(100, 190, 90)
    months = statistics.monthly_returns(times, equity, 100)
    assert list(months) == [(1970, 1), (1970, 2), (1970, 3)]
    assert math.prod(1 + it for it in months.values()) == pytest.approx(1.9)


def test_drawdown_is_measured_from_the_highest_so_far():
    found = statistics.drawdowns(np.array([100, 120, 90, 130, 65.0]), 100)
    assert found == pytest.approx([0, 0, 0.25, 0, 0.5])


def test_a_year_of_equal_days():
    returns = np.full(365, 0.001)
    assert statistics.annual_return(returns) == pytest.approx(1.001**365 - 1)
    assert statistics.annual_volatility(returns) == pytest.approx(0, abs=1e-6)
    assert statistics.downside(returns) == 0
    assert statistics.downside(-returns) == pytest.approx(0.001 * math.sqrt(365))


def test_ruin_has_no_yearly_return():
    assert statistics.annual_return(np.array([-1.0, 0.5])) is None

"""Figures of an equity curve. Returns are daily, by UTC days; a year has 365 of them.

With r the n daily returns:

- total: last equity / capital - 1
- CAGR: (last / capital) ** (365 / days) - 1, with days from the first candle's open to the last one's close
- annual return g: ((1 + r1)...(1 + rn)) ** (365 / n) - 1
- volatility: sqrt((var(r) + (1 + m)**2) ** 365 - (1 + m) ** (2 * 365)), with m the geometric mean of r
- Sharpe: g / volatility, at no interest
- Sortino: g / (sqrt(mean(min(r, 0)**2)) * sqrt(365))
- drawdown: 1 - equity / highest equity so far; Calmar: g / greatest drawdown
- exposure: share of the closes at which something is held
- turnover: what was bought and sold in a year, as a share of the mean equity
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from eightbells.backtest.result import Result, Trade
from eightbells.candles import grid

_YEAR = 365
_DAY_MS = 86_400_000
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Figures:
    """Figures of one backtest; shares as fractions, money in the quote asset. None where it cannot be told."""

    start: str
    end: str
    capital: float
    equity: float
    total_return: float
    buy_and_hold: float
    cagr: float | None
    volatility: float | None
    sharpe: float | None
    sortino: float | None
    calmar: float | None
    max_drawdown: float
    exposure: float
    turnover: float | None
    fees: float
    orders: int
    trades: int
    win_rate: float | None
    best_trade: float | None
    worst_trade: float | None
    worst_day: float | None
    worst_day_at: str | None

    @property
    def facts(self) -> dict[str, Any]:
        return asdict(self)


def figures(result: Result) -> Figures:
    """All figures of a result."""
    equity = np.array([float(value) for value in result.equity])
    capital = float(result.capital)
    days, returns = daily_returns(result.times, equity, capital)
    length = (result.times[-1] + grid.STEP_MS - result.times[0]) / _DAY_MS
    closed = [trade for trade in result.trades if trade.leg != "open"]
    annual = annual_return(returns)
    worst = int(np.argmin(returns)) if len(returns) else None
    drop = float(drawdowns(equity, capital).max())
    volatility = annual_volatility(returns)
    return Figures(
        start=grid.label(result.times[0]),
        end=grid.label(result.times[-1] + grid.STEP_MS),
        capital=capital,
        equity=float(equity[-1]),
        total_return=float(equity[-1]) / capital - 1,
        buy_and_hold=result.benchmark[-1] / capital - 1,
        cagr=_growth(float(equity[-1]) / capital, _YEAR / length),
        volatility=volatility,
        sharpe=_ratio(annual, volatility),
        sortino=_ratio(annual, downside(returns)),
        calmar=_ratio(annual, drop),
        max_drawdown=drop,
        exposure=sum(1 for value in result.held if value > 1) / len(result.held),
        turnover=_ratio(float(result.traded) * _YEAR / length, float(equity.mean())),
        fees=float(result.fees),
        orders=len(result.orders),
        trades=len(result.trades),
        win_rate=_ratio(sum(1 for trade in closed if trade.profit > 0), len(closed)),
        best_trade=max((trade.share for trade in result.trades), default=None),
        worst_trade=min((trade.share for trade in result.trades), default=None),
        worst_day=None if worst is None else float(returns[worst]),
        worst_day_at=None if worst is None else grid.label(int(days[worst]) * _DAY_MS)[:10],
    )


def daily_returns(
    times: Sequence[int], equity: Floats, capital: float | None = None
) -> tuple[npt.NDArray[np.int64], Floats]:
    """Days since 1970 and the return of each.

    Args:
        capital: what the first day's return is measured by; without it the first day has no return.
    """
    days = np.asarray(times, dtype=np.int64) // _DAY_MS
    last = np.flatnonzero(np.diff(days, append=days[-1] + 1))
    ends, of_day = equity[last], days[last]
    if capital is None:
        return of_day[1:], ends[1:] / ends[:-1] - 1
    before = np.concatenate([[capital], ends[:-1]])
    return of_day, ends / before - 1


def monthly_returns(times: Sequence[int], equity: Floats, capital: float) -> dict[tuple[int, int], float]:
    """The return of each month, by year and month."""
    ends: dict[tuple[int, int], float] = {}
    for time, value in zip(times, equity.tolist(), strict=True):
        moment = grid.to_time(time)
        ends[moment.year, moment.month] = value
    before, found = capital, {}
    for month, value in ends.items():
        found[month] = value / before - 1 if before > 0 else 0.0
        before = value
    return found


def drawdowns(equity: Floats, capital: float = 0.0) -> Floats:
    """How far below the highest so far, as shares."""
    peaks = np.maximum(np.maximum.accumulate(equity), capital)
    found: Floats = 1 - equity / peaks
    return found


def annual_return(returns: Floats) -> float | None:
    """The geometric mean return of a year."""
    if not len(returns):
        return None
    return _growth(float(np.prod(1 + returns)), _YEAR / len(returns))


def annual_volatility(returns: Floats) -> float | None:
    """Standard deviation of yearly returns that are made of such daily ones."""
    if len(returns) < 2 or (mean := _growth(float(np.prod(1 + returns)), 1 / len(returns))) is None:
        return None
    inner = (float(np.var(returns, ddof=1)) + (1 + mean) ** 2) ** _YEAR - (1 + mean) ** (2 * _YEAR)
    return math.sqrt(max(0.0, inner))


def downside(returns: Floats) -> float | None:
    """Root mean square of the losses, of a year."""
    if not len(returns):
        return None
    return math.sqrt(float(np.mean(np.minimum(returns, 0) ** 2))) * math.sqrt(_YEAR)


def by_place(result: Result) -> list[dict[str, Any]]:
    """Of each strategy and symbol its profit, trades, win rate, fees."""
    rows = []
    for (strategy, symbol), profit in result.profits.items():
        trades = [it for it in result.trades if (it.strategy, it.symbol) == (strategy, symbol)]
        closed = [it for it in trades if it.leg != "open"]
        fees = sum(
            float(it.fee) for it in result.fills if (it.order.strategy, it.order.symbol) == (strategy, symbol)
        )
        rows.append(
            {
                "strategy": strategy,
                "symbol": symbol,
                "profit": float(profit),
                "trades": len(trades),
                "win_rate": _ratio(wins(closed), len(closed)),
                "stops": sum(1 for it in trades if it.leg == "stop"),
                "fees": fees,
            }
        )
    return rows


def wins(trades: Sequence[Trade]) -> int:
    return sum(1 for trade in trades if trade.profit > 0)


def _growth(factor: float, exponent: float) -> float | None:
    return factor**exponent - 1 if factor > 0 else None


def _ratio(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole or whole != whole else part / whole

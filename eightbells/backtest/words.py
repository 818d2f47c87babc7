"""The figures of a backtest in words, as the terminal and the Prefect UI show them."""

from __future__ import annotations

from collections import Counter

from eightbells.backtest.result import Result
from eightbells.backtest.statistics import Figures

_MOST_REFUSALS = 10


def share(value: float | None) -> str:
    return "-" if value is None else f"{value:.2%}"


def ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def rows(found: Figures, asset: str) -> list[tuple[str, str]]:
    """Each figure with its name."""
    return [
        ("from, to (UTC)", f"{found.start}, {found.end}"),
        ("equity", f"{found.equity:,.2f} {asset} of {found.capital:,.2f}"),
        ("return", f"{share(found.total_return)}, buy and hold {share(found.buy_and_hold)}"),
        ("CAGR, volatility", f"{share(found.cagr)}, {share(found.volatility)}"),
        (
            "Sharpe, Sortino, Calmar",
            ", ".join(ratio(it) for it in (found.sharpe, found.sortino, found.calmar)),
        ),
        ("max drawdown", share(found.max_drawdown)),
        ("exposure, turnover", f"{share(found.exposure)}, {ratio(found.turnover)} times a year"),
        ("fees", f"{found.fees:,.2f} {asset}"),
        ("trades, win rate", f"{found.trades}, {share(found.win_rate)}"),
        ("best, worst trade", f"{share(found.best_trade)}, {share(found.worst_trade)}"),
        ("worst day", f"{share(found.worst_day)} on {found.worst_day_at}"),
    ]


def refusals(result: Result) -> tuple[list[str], int]:
    """The most frequent reasons why something was not traded, a line each, and how many more there are."""
    reasons: Counter[tuple[str, str]] = Counter()
    who: dict[tuple[str, str], set[str]] = {}
    for (strategy, symbol, stage, reason), times in result.refused.items():
        reasons[stage, reason] += times
        who.setdefault((stage, reason), set()).add(f"{strategy} {symbol}")
    lines = []
    for (stage, reason), times in reasons.most_common(_MOST_REFUSALS):
        places = sorted(who[stage, reason])
        named = places[0] if len(places) == 1 else f"{len(places)} places"
        lines.append(f"{times} x {stage}, {named}: {reason}")
    return lines, len(reasons) - len(lines)

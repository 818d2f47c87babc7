"""Walk-forward: parameters are chosen on a stretch of the past and traded on the days after it, again and again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from eightbells.backtest.history import History
from eightbells.backtest.statistics import Figures, Floats, annual_return, annual_volatility, drawdowns
from eightbells.backtest.sweep import best_first, runner, variants
from eightbells.candles import grid
from eightbells.errors import EightbellsError
from eightbells.settings import Settings
from eightbells.universe.walk import Timeline

_DAY_MS = 86_400_000


@dataclass(frozen=True)
class Fold:
    """One step: what was chosen on the training days, and what it then did on the test days.

    Args:
        trained_on: open times (ms) of the first and the last candle of the training days.
        tested_on: the same of the test days.
        trained: figures of the chosen parameters on the training days.
        tested: their figures on the test days, which begin flat and with the whole capital.
    """

    trained_on: tuple[int, int]
    tested_on: tuple[int, int]
    parameters: dict[str, Any]
    trained: Figures
    tested: Figures


@dataclass(frozen=True)
class WalkForward:
    """All steps, and figures of their test days put one after the other. None where a figure cannot be told.

    Args:
        tried: how many parameters were tried in each step.
        returns: daily returns of all test days.
    """

    folds: list[Fold]
    tried: int
    returns: Floats
    total_return: float
    sharpe: float | None
    max_drawdown: float
    notes: list[str]


def walk_forward(
    settings: Settings,
    histories: Sequence[History],
    span: tuple[int, int],
    choices: Mapping[str, Sequence[Any]],
    days: tuple[int, int],
    processes: int,
    members: Timeline | None = None,
) -> WalkForward:
    """Choose the parameters with the best Sharpe ratio on the training days, trade the test days with them, and repeat.

    Args:
        span: open times (ms) of the first and the last candle that may be used.
        days: how many training days and test days a step has.
        members: who is a member of the universe by rule when.

    Raises:
        EightbellsError: the candles do not cover one step, or there is not exactly one strategy that takes a choice.
    """
    spans = steps(histories, span, days)
    tried, _ = variants(settings, choices)
    with runner(histories, min(processes, len(tried) * len(spans)), members) as run_all:
        found = run_all([(it, trained_on) for trained_on, _ in spans for it in tried])
        groups = [found[at : at + len(tried)] for at in range(0, len(found), len(tried))]
        chosen = [best_first(group)[0] for group in groups]
        by_parameters = [(it.strategies[0].parameters, it) for it in tried]
        wanted = [next(it for given, it in by_parameters if given == best.parameters) for best in chosen]
        tested = run_all([(it, tested_on) for it, (_, tested_on) in zip(wanted, spans, strict=True)])
    folds = [
        Fold(trained_on, tested_on, best.parameters, best.figures, after.figures)
        for (trained_on, tested_on), best, after in zip(spans, chosen, tested, strict=True)
    ]
    returns = np.concatenate([it.returns for it in tested])
    annual, volatility = annual_return(returns), annual_volatility(returns)
    worth = np.cumprod(1 + returns)
    return WalkForward(
        folds,
        len(tried),
        returns,
        float(worth[-1]) - 1,
        annual / volatility if annual is not None and volatility else None,
        float(drawdowns(worth, 1.0).max()),
        list(dict.fromkeys(note for it in tested for note in it.notes)),
    )


def steps(
    histories: Sequence[History], span: tuple[int, int], days: tuple[int, int]
) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """The training and the test span of each step: whole UTC days; test spans follow each other without a gap.

    Raises:
        EightbellsError: the candles do not cover one step.
    """
    opens = [(int(it.opens[0]), int(it.opens[-1])) for it in histories if len(it.opens)]
    if not opens:
        raise EightbellsError("there are no candles to train on")
    begin = max(span[0], min(first for first, _ in opens))
    end = min(span[1], max(last for _, last in opens)) + grid.STEP_MS
    train, test = (count * _DAY_MS for count in days)
    start = -(-begin // _DAY_MS) * _DAY_MS
    found = []
    while start + train + test <= end:
        middle = start + train
        found.append(((start, middle - grid.STEP_MS), (middle, middle + test - grid.STEP_MS)))
        start += test
    if not found:
        there = (end - begin) // _DAY_MS
        raise EightbellsError(
            f"{days[0]} training and {days[1]} test days are asked for; there are {there} days of candles"
        )
    return found

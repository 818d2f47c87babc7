"""Many parameters of one strategy, each backtested, in parallel processes; and what the best of so many is worth.

Deflated Sharpe ratio (Bailey and Lopez de Prado, 2014), with SR the Sharpe ratio of the n daily returns of the best
variant, V the variance of the SR of all N variants, g the Euler-Mascheroni constant, Z the normal distribution:

- what the best of N variants without any merit would show:
  SR0 = sqrt(V) * ((1 - g) * Z^-1(1 - 1/N) + g * Z^-1(1 - 1/(N e)))
- probability that the best has merit:
  Z((SR - SR0) * sqrt(n - 1) / sqrt(1 - skewness * SR + (kurtosis - 1) / 4 * SR**2))
"""

from __future__ import annotations

import itertools
import math
import multiprocessing
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from eightbells.backtest.chance import p_value
from eightbells.backtest.engine import run
from eightbells.backtest.history import History
from eightbells.backtest.statistics import Figures, Floats, daily_returns, figures
from eightbells.errors import EightbellsError
from eightbells.settings import Settings
from eightbells.strategies.contract import build
from eightbells.universe.walk import Timeline

_EULER = 0.5772156649015329
_NORMAL = NormalDist()


@dataclass(frozen=True)
class Variant:
    """One choice of parameters, what came of it, its daily returns, and its p-value against random entries.

    Args:
        notes: what has to be said of the backtest, in sentences.
    """

    parameters: dict[str, Any]
    figures: Figures
    returns: Floats
    p_value: float | None
    notes: list[str]


@dataclass(frozen=True)
class Sweep:
    """All variants, the best Sharpe ratio first.

    Args:
        refused: choices that the strategy does not take, with the reason; they do not count as tried.
        deflated: the probability that the best has merit, given how many were tried; None where it cannot be told.
    """

    variants: list[Variant]
    refused: list[tuple[dict[str, Any], str]]
    deflated: float | None


def sweep(
    settings: Settings,
    histories: Sequence[History],
    span: tuple[int, int],
    choices: Mapping[str, Sequence[Any]],
    processes: int,
    members: Timeline | None = None,
) -> Sweep:
    """Backtest the settings' one strategy with every combination of the choices.

    Args:
        members: who is a member of the universe by rule when.

    Raises:
        EightbellsError: there is not exactly one strategy, or it takes none of the combinations.
    """
    tried, refused = variants(settings, choices)
    with runner(histories, min(processes, len(tried)), members) as run_all:
        found = best_first(run_all([(it, span) for it in tried]))
    return Sweep(found, refused, deflated_sharpe([it.returns for it in found]))


def variants(
    settings: Settings, choices: Mapping[str, Sequence[Any]]
) -> tuple[list[Settings], list[tuple[dict[str, Any], str]]]:
    """The settings with every combination of the choices, and the combinations that the strategy does not take.

    Raises:
        EightbellsError: there is not exactly one strategy, or it takes none of the combinations.
    """
    if len(settings.strategies) != 1:
        raise EightbellsError("only one strategy can be tried with many parameters: name one")
    (entry,) = settings.strategies
    tried: list[Settings] = []
    refused = []
    for values in itertools.product(*choices.values()):
        chosen = dict(zip(choices, values, strict=True))
        candidate = entry.model_copy(update={"parameters": {**entry.parameters, **chosen}})
        try:
            build(candidate)
        except EightbellsError as error:
            refused.append((chosen, str(error)))
            continue
        tried.append(settings.model_copy(update={"strategies": [candidate]}))
    if not tried:
        raise EightbellsError(f"strategy '{entry.name}' takes none of these parameters: {refused[0][1]}")
    return tried, refused


@contextmanager
def runner(
    histories: Sequence[History], processes: int, members: Timeline | None = None
) -> Iterator[Callable[[Sequence[tuple[Settings, tuple[int, int]]]], list[Variant]]]:
    """Run backtests on the same candles, each with settings and a span of its own, in so many processes."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, _begin, (list(histories), members, sys.path)) as pool:
        yield lambda wanted: list(pool.map(_run, wanted))


def best_first(found: Sequence[Variant]) -> list[Variant]:
    """By Sharpe ratio; those without one come last."""
    return sorted(
        found, key=lambda it: -math.inf if it.figures.sharpe is None else it.figures.sharpe, reverse=True
    )


_HISTORIES: list[History] = []
_MEMBERS: list[Timeline | None] = []


def _begin(histories: list[History], members: Timeline | None, path: list[str]) -> None:
    """What a process gets once."""
    sys.path[:] = path
    _HISTORIES[:], _MEMBERS[:] = histories, [members]


def _run(wanted: tuple[Settings, tuple[int, int]]) -> Variant:
    settings, (first, last) = wanted
    result = run(settings, _HISTORIES, first, last, members=_MEMBERS[0])
    equity = np.array([float(value) for value in result.equity])
    _, returns = daily_returns(result.times, equity, float(result.capital))
    return Variant(
        settings.strategies[0].parameters,
        figures(result),
        returns,
        p_value(result, _HISTORIES),
        result.notes,
    )


def deflated_sharpe(returns: Sequence[Floats]) -> float | None:
    """The probability that the first of the variants has merit, given how many were tried.

    Args:
        returns: of each variant its daily returns, the best variant's first.
    """
    ratios = [ratio for it in returns if (ratio := _ratio(it)) is not None]
    if not returns or (best := _ratio(returns[0])) is None:
        return None
    count, first = len(ratios), returns[0]
    chance = 0.0
    if count > 1:
        spread = math.sqrt(float(np.var(ratios, ddof=1)))
        highest = _NORMAL.inv_cdf(1 - 1 / count), _NORMAL.inv_cdf(1 - 1 / (count * math.e))
        chance = spread * ((1 - _EULER) * highest[0] + _EULER * highest[1])
    shape = (first - first.mean()) / first.std()
    skewness, kurtosis = float((shape**3).mean()), float((shape**4).mean())
    inner = 1 - skewness * best + (kurtosis - 1) / 4 * best**2
    if inner <= 0:
        return None
    return _NORMAL.cdf((best - chance) * math.sqrt(len(first) - 1) / math.sqrt(inner))


def _ratio(returns: Floats) -> float | None:
    """Mean over standard deviation of daily returns."""
    if len(returns) < 2 or not returns.std():
        return None
    return float(returns.mean() / returns.std(ddof=1))

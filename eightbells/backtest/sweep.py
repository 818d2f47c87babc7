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
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
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

_EULER = 0.5772156649015329
_NORMAL = NormalDist()


@dataclass(frozen=True)
class Variant:
    """One choice of parameters, what came of it, its daily returns, and its p-value against random entries."""

    parameters: dict[str, Any]
    figures: Figures
    returns: Floats
    p_value: float | None


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
) -> Sweep:
    """Backtest the settings' one strategy with every combination of the choices.

    Raises:
        EightbellsError: there is not exactly one strategy, or it takes none of the combinations.
    """
    if len(settings.strategies) != 1:
        raise EightbellsError("a sweep is of one strategy: name it with --strategy")
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
    context = multiprocessing.get_context("spawn")
    given = (list(histories), span, sys.path)
    with ProcessPoolExecutor(min(processes, len(tried)), context, _begin, given) as pool:
        found = list(pool.map(_run, tried))
    found.sort(key=lambda it: -math.inf if it.figures.sharpe is None else it.figures.sharpe, reverse=True)
    return Sweep(found, refused, deflated_sharpe([it.returns for it in found]))


_HISTORIES: list[History] = []
_SPAN: list[int] = []


def _begin(histories: list[History], span: tuple[int, int], path: list[str]) -> None:
    """What a process gets once."""
    sys.path[:] = path
    _HISTORIES[:], _SPAN[:] = histories, span


def _run(settings: Settings) -> Variant:
    result = run(settings, _HISTORIES, _SPAN[0], _SPAN[1])
    equity = np.array([float(value) for value in result.equity])
    _, returns = daily_returns(result.times, equity, float(result.capital))
    return Variant(settings.strategies[0].parameters, figures(result), returns, p_value(result, _HISTORIES))


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

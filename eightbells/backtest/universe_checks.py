"""The checks of a strategy that decides for all its symbols at once: the same as of one that sees one symbol."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from eightbells.backtest.checks import LONGER, Checked, lookahead, sampled
from eightbells.backtest.history import History
from eightbells.backtest.universe import Universe, Weighing
from eightbells.candles import grid
from eightbells.settings import StrategySettings
from eightbells.strategies.contract import Opinion, UniverseStrategy
from eightbells.strategies.universe import opinions

_Said = dict[int, dict[str, Opinion]]


def check_all(
    make: Callable[[], UniverseStrategy],
    entry: StrategySettings,
    histories: Sequence[History],
    max_pause: int,
    samples: int = 200,
) -> Checked:
    """Run all checks of a strategy on the histories together.

    Args:
        make: builds a new instance of the strategy.
        max_pause: how many slots without a candle a window may have in a row.
        samples: in how many slots it is asked.
    """
    strategy = make()
    universe = Universe(entry, strategy, histories, max_pause)
    found = Checked(", ".join(universe.symbols))
    asked = np.flatnonzero(universe.members.any(axis=1))
    if not len(asked):
        found.problems.append(
            f"{strategy.window} candles are needed, and no symbol has so many without a gap"
        )
        return found
    said = _opinions(strategy, universe, [int(row) for row in sampled(asked, samples)], found)
    if found.problems:
        return found
    found.windows = len(said)
    found.long = sum(opinion.target == "long" for of in said.values() for opinion in of.values())
    held = [{symbol for symbol, opinion in of.items() if opinion.target == "long"} for of in said.values()]
    found.changes = sum(one != other for one, other in itertools.pairwise(held))
    newest = max(said)
    found.last = f"{grid.label(universe.begins_ms + newest * grid.STEP_MS)}: " + "; ".join(
        f"{symbol} {opinion.target}, {opinion.reason}" for symbol, opinion in said[newest].items()
    )
    found.problems += _impure(make(), universe, said)
    if isinstance(strategy, Weighing):
        found.problems += _lookahead(strategy, universe, samples, int(asked[0]))
        if not found.problems:
            found.problems += _disagreement(strategy, universe, said)
    if not found.problems:
        found.warnings += _warmup(strategy, universe, said)
    return found


def _opinions(strategy: UniverseStrategy, universe: Universe, rows: list[int], found: Checked) -> _Said:
    said: _Said = {}
    seconds = []
    for row in rows:
        given = universe.shown(row, strategy.window)
        shown, name = given.copy(deep=False), _when(universe, row)
        began = time.perf_counter()
        try:
            answers = opinions(strategy, shown)
        except Exception as error:
            found.problems.append(f"decide_all fails on {name}: {type(error).__name__}: {error}")
            return said
        seconds.append(time.perf_counter() - began)
        traded = universe.traded_at(row)
        answers = {symbol: it for symbol, it in answers.items() if symbol in traded}
        sound = {symbol: it for symbol, it in answers.items() if isinstance(it, Opinion)}
        for symbol in answers.keys() - sound.keys():
            found.problems.append(f"decide_all on {name}, {symbol}: {answers[symbol]}")
            return said
        changed = [
            column for column in given if column not in shown or not shown[column].equals(given[column])
        ]
        if changed:
            found.problems.append(f"decide_all changes column {changed[0]!r} of the candles that it is shown")
            return said
        said[row] = sound
    found.seconds, found.slowest = sum(seconds) / len(seconds), max(seconds)
    return said


def _when(universe: Universe, row: int) -> str:
    return f"candle {grid.label(universe.begins_ms + row * grid.STEP_MS)}"


def _differing(before: dict[str, Opinion], now: dict[str, Opinion | str]) -> str | None:
    """The first symbol of which the target or the weight is another one."""
    for symbol, opinion in before.items():
        other = now.get(symbol)
        if not isinstance(other, Opinion) or (opinion.target, opinion.weight) != (other.target, other.weight):
            return symbol
    return None


def _impure(fresh: UniverseStrategy, universe: Universe, said: _Said) -> list[str]:
    """Whether another instance, asked in another order, answers otherwise: then the past or the clock is in it."""
    for row in reversed(said):
        symbol = _differing(said[row], opinions(fresh, universe.shown(row, fresh.window)))
        if symbol is not None:
            return [
                f"decide_all is not pure: on {_when(universe, row)} it said {_words(said[row][symbol])} of {symbol}, "
                "and something else when it was asked again in another order"
            ]
    return []


def _words(opinion: Opinion) -> str:
    return opinion.target if opinion.weight is None else f"{opinion.target} with weight {opinion.weight}"


def _lookahead(strategy: Weighing, universe: Universe, samples: int, first: int) -> list[str]:
    whole, members = universe.whole()

    def weights(shown: pd.DataFrame) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        among = members.iloc[: len(shown)]
        told = np.asarray(strategy.weights(shown, among), dtype=float)
        # what is said of a symbol that may not be decided on does not count
        return (
            np.where(among.to_numpy() & universe.traded[: len(among)], told, 0.0)
            if told.shape == among.shape
            else told
        )

    return lookahead(weights, whole, samples, first, "weights", universe.symbols)


def _disagreement(strategy: Weighing, universe: Universe, said: _Said) -> list[str]:
    told = np.asarray(strategy.weights(*universe.whole()), dtype=float)
    for row, of in said.items():
        for symbol, opinion in of.items():
            weight = float(told[row, universe.symbols.index(symbol)])
            if weight != float(opinion.weight or 0):
                return [
                    f"weights and decide_all do not agree: on {_when(universe, row)} weights says {weight:g} of "
                    f"{symbol}, decide_all {_words(opinion)} ({opinion.reason})"
                ]
    return []


def _warmup(strategy: UniverseStrategy, universe: Universe, said: _Said) -> list[str]:
    """How often something changes when the strategy is shown more slots than its window has."""
    for factor in LONGER:
        longer = int(strategy.window * factor) + 1
        asked = [row for row in said if row + 1 >= longer]
        try:
            changed = [
                row for row in asked if _differing(said[row], opinions(strategy, universe.shown(row, longer)))
            ]
        except Exception:  # it insists on its window, which the contract allows
            return []
        if changed:
            return [
                f"{len(changed)} of {len(asked)} answers change when it is shown {longer} candles in place of "
                f"{strategy.window}, the last on {_when(universe, changed[-1])}: `window` may be too short"
            ]
    return []

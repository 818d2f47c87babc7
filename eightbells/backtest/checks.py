"""Whether a strategy may be believed: it sees no future, answers the same twice, and looks back far enough."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from eightbells.backtest.history import History
from eightbells.backtest.targets import Vectorised
from eightbells.candles import grid
from eightbells.strategies.contract import Opinion, Strategy

LONGER = (1.5, 2.0, 4.0)
_CLOSE_ENOUGH = 1e-9


@dataclass
class Checked:
    """What a check of one strategy on one symbol has found.

    Args:
        problems: for which the strategy must not trade, in words that name the candle or the column.
        warnings: what its author should know.
        seconds: the mean time of one `decide`.
    """

    symbol: str
    windows: int = 0
    long: int = 0
    changes: int = 0
    last: str = ""
    seconds: float = 0.0
    slowest: float = 0.0
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def check(make: Callable[[], Strategy], history: History, samples: int = 200) -> Checked:
    """Run all checks of a strategy on a history.

    Args:
        make: builds a new instance of the strategy.
        samples: at how many candles it is asked.
    """
    found, strategy = Checked(history.symbol), make()
    frame, window = history.shown, strategy.window
    if len(frame) < window:
        found.problems.append(f"{window} candles are needed, {len(frame)} of {history.symbol} are there")
        return found
    at = sampled(np.arange(window - 1, len(frame)), samples)
    opinions = _opinions(strategy, frame, at, found)
    if found.problems:
        return found
    found.windows = len(opinions)
    found.long = sum(it.target == "long" for it in opinions.values())
    targets = [opinions[int(index)].target for index in at]
    found.changes = sum(one != other for one, other in itertools.pairwise(targets))
    last = opinions[int(at[-1])]
    found.last = f"{grid.label(int(history.opens[at[-1]]))}: {last.target}, {last.reason}"
    found.problems += _impure(make(), frame, opinions)
    if isinstance(strategy, Vectorised):
        found.problems += lookahead(strategy.signals, frame, samples, window - 1)
        if not found.problems:
            found.problems += _disagreement(strategy, frame, opinions)
    if not found.problems:
        found.warnings += warmup(strategy, frame, opinions)
    return found


def sampled(places: npt.NDArray[np.intp], samples: int) -> npt.NDArray[np.intp]:
    """Some of the places, the last among them, spread over all and over the hours of the day."""
    if len(places) <= samples:
        return places
    source = np.random.default_rng(8)
    chosen = source.choice(places[:-1], samples - 1, replace=False)
    return np.sort(np.append(chosen, places[-1]))


def _opinions(
    strategy: Strategy, frame: pd.DataFrame, at: npt.NDArray[np.intp], found: Checked
) -> dict[int, Opinion]:
    opinions: dict[int, Opinion] = {}
    seconds = []
    for index in map(int, at):
        window = frame.iloc[index + 1 - strategy.window : index + 1]
        shown = window.copy(deep=False)
        began = time.perf_counter()
        try:
            opinion = strategy.decide(shown)
        except Exception as error:
            found.problems.append(f"decide fails on {named(frame, index)}: {type(error).__name__}: {error}")
            return opinions
        seconds.append(time.perf_counter() - began)
        if not isinstance(opinion, Opinion) or opinion.target not in ("long", "flat"):
            found.problems.append(f"decide answers {opinion!r:.60} on {named(frame, index)}, no Opinion")
            return opinions
        changed = [
            name for name in frame.columns if name not in shown or not shown[name].equals(window[name])
        ]
        if changed:
            found.problems.append(f"decide changes column '{changed[0]}' of the candles that it is shown")
            return opinions
        opinions[index] = opinion
    found.seconds, found.slowest = sum(seconds) / len(seconds), max(seconds)
    return opinions


def _impure(fresh: Strategy, frame: pd.DataFrame, opinions: dict[int, Opinion]) -> list[str]:
    """Whether another instance, asked in another order, answers otherwise: then the past or the clock is in it."""
    for index in reversed(opinions):
        window = frame.iloc[index + 1 - fresh.window : index + 1].copy(deep=False)
        again = fresh.decide(window)
        if again.target != opinions[index].target:
            return [
                f"decide is not pure: on {named(frame, index)} it said {opinions[index].target}, and {again.target} "
                "when it was asked again in another order"
            ]
    return []


def lookahead(
    signals: Callable[[pd.DataFrame], npt.ArrayLike],
    candles: pd.DataFrame,
    samples: int = 200,
    first: int = 0,
    method: str = "signals",
    symbols: Sequence[str] = (),
) -> list[str]:
    """What of the signals changes when the future is cut off at sampled candles; empty where nothing does.

    Columns that `signals` adds to the candles are compared, too, and named.

    Args:
        first: index of the first candle whose signal counts.
        method: what the author calls `signals`.
        symbols: where it gives a weight per symbol, these.
    """
    whole = candles.copy(deep=False)
    told = np.asarray(signals(whole))
    if len(told.shape) == 0 or len(told) != len(candles):
        return [f"{method} gives {told.shape} values for {len(candles)} candles"]
    for end in map(int, sampled(np.arange(first, len(candles)), samples)):
        cut = candles.iloc[: end + 1].copy(deep=False)
        known = np.asarray(signals(cut))
        if column := _changed_column(whole, cut, candles.columns, first):
            name, index = column
            return [
                f"column '{name}' looks ahead: its value of {named(candles, index)} is another one when the candles "
                f"after {named(candles, end)} are cut off"
            ]
        differs = np.argwhere(known[first:] != told[first : end + 1])
        if len(differs):
            place = (int(differs[-1][0]) + first, *map(int, differs[-1][1:]))
            one, other = (_said(it[place], symbols[place[1]] if symbols else "") for it in (told, known))
            return [
                f"{method} looks ahead: on {named(candles, place[0])} it says {one}, and {other} when the candles "
                f"after {named(candles, end)} are cut off"
            ]
    return []


def _said(value: object, symbol: str) -> str:
    if symbol:
        return f"{value:g} of {symbol}"
    return "long" if value else "flat"


def _changed_column(
    whole: pd.DataFrame, cut: pd.DataFrame, given: Iterable[str], first: int
) -> tuple[str, int] | None:
    known = set(given)
    for name in whole.columns:
        if name in known or name not in cut.columns:
            continue
        before, after = whole[name].iloc[: len(cut)], cut[name]
        if pd.api.types.is_numeric_dtype(before) and pd.api.types.is_numeric_dtype(after):
            same = np.isclose(
                before.to_numpy(dtype=float),
                after.to_numpy(dtype=float),
                rtol=_CLOSE_ENOUGH,
                atol=0,
                equal_nan=True,
            )
        else:
            same = (before.eq(after) | (before.isna() & after.isna())).to_numpy()
        differs = np.flatnonzero(~same[first:]) + first
        if len(differs):
            return name if isinstance(name, str) else " ".join(map(str, name)), int(differs[-1])
    return None


def _disagreement(strategy: Vectorised, frame: pd.DataFrame, opinions: dict[int, Opinion]) -> list[str]:
    told = strategy.signals(frame.copy(deep=False))
    for index, opinion in opinions.items():
        if bool(told[index]) != (opinion.target == "long"):
            return [
                f"signals and decide do not agree: on {named(frame, index)} decide says {opinion.target} "
                f"({opinion.reason})"
            ]
    return []


def warmup(strategy: Strategy, frame: pd.DataFrame, opinions: dict[int, Opinion]) -> list[str]:
    """How many opinions change when the strategy is shown more candles than its window has."""
    for factor in LONGER:
        longer = int(strategy.window * factor) + 1
        asked = [index for index in opinions if index + 1 >= longer]
        try:
            changed = [
                index
                for index in asked
                if strategy.decide(frame.iloc[index + 1 - longer : index + 1].copy(deep=False)).target
                != opinions[index].target
            ]
        except Exception:  # it insists on its window, which the contract allows
            return []
        if changed:
            return [
                f"{len(changed)} of {len(asked)} opinions change when it is shown {longer} candles in place of "
                f"{strategy.window}, the last on {named(frame, changed[-1])}: `window` may be too short"
            ]
    return []


def named(frame: pd.DataFrame, index: int) -> str:
    return f"candle {frame.index[index]:%Y-%m-%d %H:%M}"

"""What runs inside the strategies' own process: it builds strategies and shows them windows, until its pipe ends."""

from __future__ import annotations

import os
import resource
import signal
import sys
import traceback
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pandas as pd

from eightbells.errors import EightbellsError
from eightbells.settings import StrategySettings
from eightbells.strategies import universe
from eightbells.strategies.contract import (
    Opinion,
    Prepared,
    Strategy,
    UniverseStrategy,
    build,
    checked,
    needs_of,
    sees_all,
)

_LONGEST_SAID = 200  # characters of what a strategy's exception says
_LONGEST_REASON = 10_000  # characters of an opinion's reason
_LONGEST_WINDOW = 100_000
_GRACE_SECONDS = 5.0  # after which the kernel ends this process, if the one that started it is gone


def main() -> None:
    """Serve the pipe whose file descriptor is the argument."""
    os.dup2(2, 1)  # what a strategy prints must not mix with the output of a command
    serve(Connection(int(sys.argv[1])))


def serve(pipe: Connection) -> None:
    """Answer until the other end is closed, and end this process whatever threads a strategy has started."""
    try:
        _limit_memory(pipe.recv())
        pipe.send("ready")
        strategies: dict[str, Strategy | UniverseStrategy] = {}
        while True:
            key, given, seconds = pipe.recv()
            signal.setitimer(signal.ITIMER_REAL, seconds + _GRACE_SECONDS)
            if isinstance(given, pd.DataFrame):
                answer: object = _decide(strategies[key], given)
            else:
                entry, sys.path[:] = given
                answer = _prepare(strategies, key, entry)
            signal.setitimer(signal.ITIMER_REAL, 0)
            pipe.send(answer)
    except (EOFError, OSError):
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def _limit_memory(megabytes: int) -> None:
    if megabytes:
        with suppress(ValueError, OSError):  # macOS has no such limit
            resource.setrlimit(resource.RLIMIT_DATA, (megabytes << 20, resource.RLIM_INFINITY))


def _prepare(
    strategies: dict[str, Strategy | UniverseStrategy], key: str, entry: StrategySettings
) -> Prepared | str:
    """What is known of a strategy, or why it cannot be used."""
    try:
        strategy = build(entry)
        window, version = strategy.window, strategy.version
        if not isinstance(window, int) or not 1 <= window <= _LONGEST_WINDOW:
            return f"its window must be a whole number from 1 to {_LONGEST_WINDOW}, not {window!r:.50}"
        if not isinstance(version, str) or not 1 <= len(version) <= 100:
            return f"its version must be a string of 1 to 100 characters, not {version!r:.50}"
        needs = needs_of(strategy)
    except EightbellsError as error:
        return str(error)
    except BaseException as error:
        return _failure(entry.kind.partition(":")[0], error)
    strategies[key] = strategy
    return Prepared(str(version), int(window), sees_all(strategy), needs)


def _decide(
    strategy: Strategy | UniverseStrategy, candles: pd.DataFrame
) -> Opinion | dict[str, Opinion | str] | str:
    """A strategy's opinion, or its opinions by symbol; or why there is none."""
    shown = candles.copy(deep=False)  # pandas copies what is written to
    try:
        answer: Opinion | dict[str, Opinion | str]
        if sees_all(strategy):
            answer = {symbol: _of_one(it) for symbol, it in universe.opinions(strategy, shown).items()}
        else:
            close = Decimal(repr(float(candles["close"].iloc[-1])))
            answer = _stored(checked(strategy.decide(shown), close))
        if not _is_unchanged(candles, shown):
            return "the strategy failed: it changed the candles that it was shown (it may add columns)"
        return answer
    except BaseException as error:  # SystemExit and KeyboardInterrupt too: it may be anybody's code
        return _failure(type(strategy).__module__, error)


def _of_one(opinion: Opinion | str) -> Opinion | str:
    """One of several opinions, or what is wrong with it."""
    try:
        return f"the strategy failed: {opinion}" if isinstance(opinion, str) else _stored(opinion)
    except TypeError as error:
        return f"the strategy failed: TypeError: {error}"


def _stored(opinion: Opinion) -> Opinion:
    """An opinion of plain values; TypeError where the books cannot take its reason."""
    reason = opinion.reason
    if not isinstance(reason, str) or len(reason) > _LONGEST_REASON or not _is_storable(reason):
        raise TypeError(
            f"the reason of its Opinion is no text that can be stored: {reason!r:.{_LONGEST_SAID}}"
        )
    return replace(opinion, target="long" if opinion.target == "long" else "flat", reason=str(reason))


def _is_storable(words: str) -> bool:
    """Whether Postgres takes it: no zero character, no half of a surrogate pair."""
    return "\0" not in words and words.encode(errors="ignore").decode() == words


def _is_unchanged(candles: pd.DataFrame, shown: pd.DataFrame) -> bool:
    names = candles.columns
    kept = shown if len(shown.columns) == len(names) else shown.reindex(columns=names)
    same_places = kept.index.equals(candles.index) and list(kept.columns) == list(names)
    return same_places and np.array_equal(kept.to_numpy(), candles.to_numpy(), equal_nan=True)


def _failure(module: str, error: BaseException) -> str:
    """What went wrong in one line, and where in the strategy's own file."""
    try:
        said = "".join(str(error).splitlines()[:1])[:_LONGEST_SAID]
    except BaseException:
        said = "its message cannot be read"
    if isinstance(error, MemoryError):
        said = "it needs more memory than limits.strategy_memory_mb"
    name = f"{module.rpartition('.')[2]}.py"
    own = [it for it in traceback.extract_tb(error.__traceback__) if Path(it.filename).name == name]
    place = f" ({name}, line {own[-1].lineno})" if own else ""
    return f"the strategy failed: {type(error).__name__}: {said}{place}"


if __name__ == "__main__":
    main()

"""A backtest as a person asks for it: which strategies, symbols and days, on which candles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import Engine

from eightbells.backtest.engine import run
from eightbells.backtest.history import History, read_folder, read_stored, symbols_in
from eightbells.backtest.result import Result
from eightbells.candles import grid
from eightbells.errors import EightbellsError
from eightbells.settings import Settings, UniverseSettings
from eightbells.settings.names import suggestion
from eightbells.universe.candidates import Loaded, Series
from eightbells.universe.members import span_timeline
from eightbells.universe.walk import Timeline, walk

_END_MS = grid.to_ms(datetime.fromisoformat("2100-01-01T00:00Z"))


@dataclass(frozen=True)
class Request:
    """What is asked for; empty is all there is. `until` is the first moment that is no longer part of it."""

    strategies: Sequence[str] = ()
    symbols: Sequence[str] = ()
    since: datetime | None = None
    until: datetime | None = None
    data: Path | None = None


def chosen(settings: Settings, request: Request) -> Settings:
    """The settings with the chosen strategies and symbols only.

    Raises:
        EightbellsError: there is no such strategy, or nothing is left to trade.
    """
    names = [entry.name for entry in settings.strategies]
    for name in request.strategies:
        if name not in names:
            known = f"the settings have {', '.join(names)}" if names else "the settings have none"
            raise EightbellsError(f"there is no strategy '{name}': {known}{suggestion(name, names)}")
    if settings.universe.top and not request.symbols:
        return _of_rule(settings, request)
    symbols = list(request.symbols) or settings.symbols
    if request.data is not None and not request.symbols:
        there = symbols_in(request.data)
        symbols = [symbol for symbol in symbols if symbol in there]
        if not symbols:
            raise EightbellsError(f"{request.data} has no SYMBOL-4h.csv.gz of any of the settings' symbols")
    entries = []
    for entry in settings.strategies:
        if request.strategies and entry.name not in request.strategies:
            continue
        own = [symbol for symbol in entry.symbols if symbol in symbols]
        if own or not entry.symbols:
            entries.append(entry.model_copy(update={"symbols": own}))
    if not entries:
        raise EightbellsError("no [[strategies]] of the settings trades any of these symbols")
    no_rule = UniverseSettings()  # who names symbols wants those, whoever is a member
    return settings.model_copy(update={"symbols": symbols, "strategies": entries, "universe": no_rule})


def _of_rule(settings: Settings, request: Request) -> Settings:
    entries = [it for it in settings.strategies if not request.strategies or it.name in request.strategies]
    if not entries:
        raise EightbellsError("the settings have no [[strategies]]: there is nothing to trade")
    return settings.model_copy(update={"strategies": entries})


def by_rule(
    settings: Settings, first_ms: int, last_ms: int, data: Path | None, engine: Engine | None
) -> tuple[Settings, Timeline]:
    """The settings with all symbols that are members at any time of a span, and who is one when.

    Members of stored candles are kept as rows, and read from those of the cycle where it has traded by the rule.

    Raises:
        EightbellsError: there is no member at any time, and no strategy has symbols of its own.
    """
    if data is not None:
        timeline = _timeline_of_folder(settings, first_ms, last_ms, data)
    else:
        assert engine is not None
        with engine.begin() as connection:
            timeline = span_timeline(connection, settings, first_ms, last_ms)
    if not [*timeline] and not any(entry.symbols for entry in settings.strategies):
        raise EightbellsError(
            "the rule of the universe finds no member in these days: load more candles with `eightbells backfill "
            f"--quote {settings.quote_asset}`, or lower universe.older_than_days"
        )
    return settings.with_members(timeline), timeline


def _timeline_of_folder(settings: Settings, first_ms: int, last_ms: int, data: Path) -> Timeline:
    quote = settings.quote_asset
    histories = read_folder(data, [it for it in symbols_in(data) if it.endswith(quote)], quote)
    series = [Series(it.symbol, it.rules.base_asset, it.opens, it.column("quote_volume")) for it in histories]
    if series:
        first_ms = max(first_ms, min(int(it.opens[0]) for it in series))
        last_ms = min(last_ms, max(int(it.opens[-1]) for it in series))
    return Timeline(walk(Loaded(series), settings.universe, first_ms, last_ms).memberships)


def backtest(
    settings: Settings,
    request: Request,
    engine: Engine | None = None,
    progress: Callable[[], None] = lambda: None,
) -> tuple[Result, list[History], Settings]:
    """Run what is asked for.

    Args:
        engine: the database with the candles; not needed where the request names a folder.
        progress: called after each slot.

    Returns:
        The result, the candles, and the settings that it was run with.

    Raises:
        EightbellsError: it cannot be run; says why.
    """
    asked = prepare(settings, request, engine)
    found = run(asked.settings, asked.histories, *asked.span, members=asked.members, progress=progress)
    return found, asked.histories, asked.settings


@dataclass(frozen=True)
class Prepared:
    """What a backtest runs on.

    Args:
        settings: with what is asked for alone.
        span: open times (ms) of the first and the last candle.
        members: who is a member of the universe by rule when; None without a rule.
    """

    settings: Settings
    histories: list[History]
    span: tuple[int, int]
    members: Timeline | None


def prepare(settings: Settings, request: Request, engine: Engine | None = None) -> Prepared:
    """Read what is asked for.

    Args:
        engine: the database with the candles; not needed where the request names a folder.

    Raises:
        EightbellsError: there is no such strategy, nothing to trade, or no candle; says why.
    """
    first, last = span(request)
    narrowed, timeline = chosen(settings, request), None
    if narrowed.universe.top:
        narrowed, timeline = by_rule(narrowed, first, last, request.data, engine)
    histories = candles(narrowed, narrowed.symbols, last, request.data, engine)
    return Prepared(narrowed, histories, (first, last), timeline)


def candles(
    settings: Settings, symbols: Sequence[str], last_ms: int, data: Path | None, engine: Engine | None
) -> list[History]:
    """The candles of the symbols, from a folder or the database."""
    if data is not None:
        return read_folder(data, symbols, settings.quote_asset)
    assert engine is not None
    with engine.connect() as connection:
        return read_stored(connection, settings.account, symbols, last_ms)


def span(request: Request) -> tuple[int, int]:
    """Open times (ms) of the first and the last candle.

    Raises:
        EightbellsError: the end is not after the start.
    """
    first = 0 if request.since is None else -(-grid.to_ms(request.since) // grid.STEP_MS) * grid.STEP_MS
    last = (_END_MS if request.until is None else grid.to_ms(request.until)) - grid.STEP_MS
    if request.since is not None and request.until is not None and first > last:
        raise EightbellsError(f"the start {request.since:%Y-%m-%d} does not lie before the end")
    return first, last - last % grid.STEP_MS


def end_of(day: datetime) -> datetime:
    """The end of a day that is given without a time; any other moment as it is."""
    return day + timedelta(days=1) if day.time() == datetime.min.time() else day

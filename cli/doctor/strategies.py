"""Whether the strategies that are set can trade, by the exchange's rules and what is stored of their symbols."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from cli.doctor.findings import Finding, fail, warn
from eightbells.errors import EightbellsError
from eightbells.exchange.fields import RulesUnreadable, filters_of, number
from eightbells.exchange.rules import SymbolRules
from eightbells.exchange.universe import by_symbol, objection
from eightbells.settings import Settings

_REMEDY = "change its symbols or capital in eightbells.toml"


def look_at_strategies(settings: Settings, info: Mapping[str, Any]) -> Iterator[Finding]:
    """A finding for each strategy that cannot trade all its symbols, and one where their stops are too many.

    It fails where the settings let it trade none of them. What the exchange has taken away is a warning: the other
    strategies go on, and what is held has to be protected.
    """
    from eightbells.strategies.obstacles import in_words, obstacles
    from eightbells.strategies.process import PROCESS, NoAnswer

    (listed, refused), known = _listed(settings, info), _known(settings)
    for entry in settings.strategies:
        try:
            window = PROCESS.prepare(entry, settings.limits).window
        except NoAnswer:  # told by what looks at the machine
            continue
        found = obstacles(settings, entry, window, listed, known, refused)
        if not found:
            continue
        ours = all(it.lasts and it.symbol not in refused for it in found)
        none = len(found) == len(settings.symbols_of(entry)) and (ours or not listed)
        yield (fail if none else warn)("strategy", in_words(entry, found), _REMEDY)
    yield from _stops(settings, {it: entries[0] for it, entries in by_symbol(info).items() if it in listed})


def _stops(settings: Settings, entries: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    """A warning where so many strategies keep a stop on a symbol that the exchange would replace none of them.

    While it replaces one it counts both.
    """
    crowded = dict[str, tuple[int, int]]()
    for symbol, entry in entries.items():
        stops = sum(bool(it.stop_loss) and it.trades(symbol) for it in settings.strategies)
        most = _most_stops(entry)
        if most and stops >= most:
            crowded[symbol] = stops, most
    if not crowded:
        return
    (symbol, (stops, most)), more = next(iter(crowded.items())), len(crowded) - 1
    words = f"{symbol}: {stops} strategies keep a stop, and the exchange moves none once {most} are out"
    others = f"; so it is with {more} more symbol{'s' * (more > 1)}" if more else ""
    yield warn("stops", words + others, "let fewer strategies trade the symbol")


def _most_stops(entry: Mapping[str, Any]) -> int:
    """How many orders with a stop price the exchange takes of a symbol; 0 where it does not say."""
    try:
        return int(number(filters_of(entry).get("MAX_NUM_ALGO_ORDERS", {}), "maxNumAlgoOrders"))
    except RulesUnreadable:
        return 0


def _listed(settings: Settings, info: Mapping[str, Any]) -> tuple[dict[str, SymbolRules], dict[str, str]]:
    """The rules of the symbols, and why those of others cannot be had."""
    entries = by_symbol(info)
    refused = {it: reason for it in settings.symbols if (reason := objection(entries.get(it, [])))}
    taken = [it for it in settings.symbols if it not in refused]
    return {it: SymbolRules.from_exchange_info(entries[it][0]) for it in taken}, refused


def _known(settings: Settings) -> Mapping[str, Any]:
    """What is stored; nothing where the database cannot be read, which is a finding of its own."""
    from eightbells.database.engine import connect, database_url
    from eightbells.strategies.obstacles import read_known

    with suppress(EightbellsError, SQLAlchemyError), database_url(settings) as url:
        engine = connect(url)
        try:
            with engine.connect() as connection:
                return read_known(connection, settings.symbols)
        finally:
            engine.dispose()
    return {}

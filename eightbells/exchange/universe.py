"""The symbols of a run: their rules as the exchange states them now, and those it does not list left out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine, text

from eightbells.candles import grid
from eightbells.candles.timeframe import CYCLE, Timeframe
from eightbells.exchange import rules
from eightbells.exchange.codes import ErrorCode
from eightbells.exchange.fields import RulesUnreadable
from eightbells.exchange.gateway import Gateway
from eightbells.exchange.history import first_open_time
from eightbells.exchange.recovery import Action, ExchangeError

_NAME = re.compile(r"[\w.-]{1,50}")
Entry = dict[str, Any]
_ASK_ALL = 50  # from so many symbols on, the whole exchangeInfo is the shorter question


@dataclass(frozen=True)
class Universe:
    """Symbols that the exchange lists, and why the others are not among them; some of those it lists not at all."""

    symbols: tuple[str, ...]
    refused: dict[str, str] = field(default_factory=dict)
    unlisted: tuple[str, ...] = ()

    @property
    def refusal(self) -> str:
        """What is wrong with the symbols that are left out, in words."""
        listed = [f"{symbol}: {why}" for symbol, why in self.refused.items() if symbol not in self.unlisted]
        missing = [f"not listed at the exchange: {', '.join(self.unlisted)}"] if self.unlisted else []
        return "; ".join(missing + listed)


async def refresh_universe(
    gateway: Gateway, engine: Engine, symbols: Sequence[str], quote: str | None = None
) -> Universe:
    """Fetch and keep the rules of the symbols; one that is named twice counts once.

    A symbol that is not listed, or whose entry cannot be read, is refused with its reason; the others go on.

    Args:
        quote: leave out symbols that are quoted in another asset.
    """
    symbols = list(dict.fromkeys(symbols))
    # a name that cannot be one is not asked about: the question would be refused, or not even be JSON
    entries = await _entries(gateway, [symbol for symbol in symbols if _NAME.fullmatch(symbol)])
    refused = {symbol: reason for symbol in symbols if (reason := objection(entries.get(symbol, [])))}
    seen = grid.to_time(gateway.clock.now_ms())
    accepted = tuple(symbol for symbol in symbols if symbol not in refused)
    with engine.begin() as connection:
        for symbol in accepted:
            rules.save(connection, entries[symbol][0], seen)
    others = {
        symbol: f"it is quoted in {asset}, not in quote_asset {quote}"
        for symbol in accepted
        if quote is not None and (asset := str(entries[symbol][0]["quoteAsset"])) != quote
    }
    traded = tuple(symbol for symbol in accepted if symbol not in others)
    return Universe(traded, refused | others, tuple(symbol for symbol in symbols if symbol not in entries))


def objection(entries: Sequence[Entry]) -> str | None:
    """Why a symbol with these entries of exchangeInfo cannot be traded; None where it can."""
    if not entries:
        return f"the exchange does not list it ({ErrorCode.BAD_SYMBOL})"
    if any(entry != entries[0] for entry in entries):
        return "exchangeInfo lists it twice, with different rules"
    try:
        rules.SymbolRules.from_exchange_info(entries[0])
        rules.as_json(entries[0])
    except RulesUnreadable as error:
        return str(error)
    return None


def by_symbol(info: Mapping[str, Any]) -> dict[str, list[Entry]]:
    """The entries of exchangeInfo under the symbols that they name."""
    found: dict[str, list[Entry]] = {}
    for entry in info["symbols"]:
        if isinstance(entry, dict) and isinstance(entry.get("symbol"), str):
            found.setdefault(entry["symbol"], []).append(entry)
    return found


async def _entries(gateway: Gateway, symbols: Sequence[str]) -> dict[str, list[Entry]]:
    if not symbols:
        return {}
    if len(symbols) < _ASK_ALL:
        try:
            return by_symbol(await gateway.exchange_info(symbols))
        except (
            ExchangeError
        ) as error:  # one name that it does not take makes the short question fail as a whole
            if error.failure.remedy.action not in (Action.REFUSE, Action.FIX):
                raise
    return by_symbol(await gateway.exchange_info())


async def first_candle(
    gateway: Gateway, engine: Engine, symbol: str, timeframe: Timeframe = CYCLE
) -> int | None:
    """When the symbol's first candle opened (ms); None where it has none yet.

    The exchange is asked once for the first candle of the cycle's timeframe, and the answer is kept. A longer candle
    opens with the slot that holds it. The first one of a shorter timeframe is asked for each time.
    """
    if timeframe.step_ms < CYCLE.step_ms:
        return await first_open_time(gateway, symbol, timeframe)
    first = await _first_of_cycle(gateway, engine, symbol)
    return None if first is None else timeframe.floor(first)


async def _first_of_cycle(gateway: Gateway, engine: Engine, symbol: str) -> int | None:
    with engine.connect() as connection:
        known = connection.execute(
            text("SELECT first_open_time FROM symbols WHERE symbol = :symbol"), {"symbol": symbol}
        ).scalar_one_or_none()
    if known is not None:
        return grid.to_ms(known)
    first = await first_open_time(gateway, symbol)
    if first is not None:
        with engine.begin() as connection:
            connection.execute(
                text("UPDATE symbols SET first_open_time = :first WHERE symbol = :symbol"),
                {"symbol": symbol, "first": grid.to_time(first)},
            )
    return first

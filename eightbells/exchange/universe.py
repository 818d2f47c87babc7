"""The symbols of a run: their rules as the exchange states them now, and those it does not list left out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Engine, text

from eightbells.candles import grid
from eightbells.exchange import rules
from eightbells.exchange.gateway import Gateway
from eightbells.exchange.history import first_open_time
from eightbells.exchange.recovery import ExchangeError

_NAME = re.compile(r"[\w.-]{1,50}")
_ASK_ALL = 50  # from so many symbols on, the whole exchangeInfo is the shorter question


@dataclass(frozen=True)
class Universe:
    """Symbols that the exchange lists, and why the others are not among them."""

    symbols: tuple[str, ...]
    refused: dict[str, str] = field(default_factory=dict)


async def refresh_universe(
    gateway: Gateway, engine: Engine, symbols: Sequence[str], quote: str | None = None
) -> Universe:
    """Fetch and keep the rules of the symbols; one that is named twice counts once.

    Args:
        quote: leave out symbols that are quoted in another asset.
    """
    symbols = list(dict.fromkeys(symbols))
    # a name that cannot be one is not asked about: the question would be refused, or not even be JSON
    entries = await _entries(gateway, [symbol for symbol in symbols if _NAME.fullmatch(symbol)])
    seen = grid.to_time(gateway.clock.now_ms())
    with engine.begin() as connection:
        for symbol in symbols:
            if symbol in entries:
                rules.save(connection, entries[symbol], seen)
    missing = {symbol: "the exchange does not list it (-1121)" for symbol in symbols if symbol not in entries}
    quoted = {symbol: str(entry["quoteAsset"]) for symbol, entry in entries.items()}
    others = {
        symbol: f"it is quoted in {asset}, not in quote_asset {quote}"
        for symbol, asset in quoted.items()
        if quote is not None and asset != quote
    }
    refused = missing | others
    return Universe(tuple(symbol for symbol in symbols if symbol not in refused), refused)


async def _entries(gateway: Gateway, symbols: Sequence[str]) -> dict[str, dict[str, object]]:
    if not symbols:
        return {}
    if len(symbols) < _ASK_ALL:
        try:
            info = await gateway.exchange_info(symbols)
            return {entry["symbol"]: entry for entry in info["symbols"]}
        except ExchangeError as error:
            if error.failure.code not in ("-1121", "-1100"):
                raise
    info = await gateway.exchange_info()  # one unknown name makes the short question fail as a whole
    wanted = set(symbols)
    return {entry["symbol"]: entry for entry in info["symbols"] if entry["symbol"] in wanted}


async def first_candle(gateway: Gateway, engine: Engine, symbol: str) -> int | None:
    """When the symbol's first candle opened (ms); the exchange is asked once and the answer kept."""
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

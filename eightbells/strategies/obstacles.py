"""Why a strategy cannot trade: symbols that are not to be had, too little capital, a window longer than history."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType

from sqlalchemy import Connection, text

from eightbells.candles import grid
from eightbells.exchange import rules
from eightbells.exchange.rules import RuleBroken, SymbolRules, wire
from eightbells.settings import Settings, StrategySettings

_LONGEST = 3  # symbols that are named one by one


@dataclass(frozen=True)
class Known:
    """What is known of a symbol: its newest close, and how many candles there have been since it was listed."""

    price: Decimal | None = None
    candles: int | None = None


@dataclass(frozen=True)
class Obstacle:
    """Why a symbol is not traded. One that does not last goes away without anybody doing anything."""

    symbol: str
    reason: str
    lasts: bool = True


def obstacles(
    settings: Settings,
    entry: StrategySettings,
    window: int,
    listed: Mapping[str, SymbolRules],
    known: Mapping[str, Known],
    refused: Mapping[str, str] = MappingProxyType({}),
) -> list[Obstacle]:
    """What keeps a strategy from trading its symbols; those without an obstacle are not in the list.

    Args:
        refused: symbols that are left out anyway, with the reason, such as an entry of exchangeInfo that is odd.
    """
    found = []
    for symbol in settings.symbols_of(entry):
        if symbol in refused:
            found.append(Obstacle(symbol, refused[symbol]))
            continue
        obstacle = _obstacle(settings, entry, window, symbol, listed.get(symbol), known.get(symbol, Known()))
        found += [obstacle] if obstacle else []
    return found


def _obstacle(
    settings: Settings,
    entry: StrategySettings,
    window: int,
    symbol: str,
    listed: SymbolRules | None,
    known: Known,
) -> Obstacle | None:
    if listed is None:
        return Obstacle(symbol, "the exchange does not list it")
    if listed.quote_asset != settings.quote_asset:
        return Obstacle(symbol, f"it is quoted in {listed.quote_asset}, not in {settings.quote_asset}")
    if listed.status != "TRADING":
        return Obstacle(symbol, f"it is {listed.status}", lasts=False)
    share = entry.capital / settings.shares(entry)
    if too_little := _too_little(share, listed, known.price, settings.trading.order_type == "market"):
        return Obstacle(
            symbol, f"{wire(share)} {settings.quote_asset} of capital is too little: {too_little}"
        )
    if known.candles is not None and known.candles < window:
        return Obstacle(symbol, f"it has {known.candles} candles, {window} are needed", lasts=False)
    return None


def _too_little(share: Decimal, listed: SymbolRules, price: Decimal | None, market: bool) -> str:
    """Which rule an order of this amount breaks; without a price only its amount is looked at."""
    if price is None:
        low = listed.min_notional
        return f"{listed.symbol} notional {wire(low)} is the minimum" if share < low else ""
    try:
        listed.quantity(share / price, price, market=market)
    except RuleBroken as error:
        return str(error)
    return ""


def in_words(entry: StrategySettings, found: list[Obstacle]) -> str:
    """A line for whoever has to act."""
    named = "; ".join(f"{it.symbol}: {it.reason}" for it in found[:_LONGEST])
    more = f"; and {len(found) - _LONGEST} more" if len(found) > _LONGEST else ""
    return f"strategy '{entry.name}' cannot trade {named}{more}"


_KNOWN = """
SELECT s.symbol, s.first_open_time, c.open_time, c.close
FROM symbols AS s LEFT JOIN LATERAL (
    SELECT open_time, close FROM candles WHERE symbol = s.symbol AND "interval" = :interval
    ORDER BY open_time DESC LIMIT 1
) AS c ON TRUE
WHERE s.symbol = ANY(:symbols)
"""


def read_known(connection: Connection, symbols: Collection[str]) -> dict[str, Known]:
    """What is stored of symbols."""
    values = {"symbols": list(symbols), "interval": grid.INTERVAL}
    found = {}
    for row in connection.execute(text(_KNOWN), values):
        counted = row.first_open_time is not None and row.open_time is not None
        candles = (row.open_time - row.first_open_time) // grid.STEP + 1 if counted else None
        found[row.symbol] = Known(row.close, candles)
    return found


def idle_strategies(
    connection: Connection,
    settings: Settings,
    windows: Mapping[str, int],
    refused: Mapping[str, str],
    asked: Collection[str],
) -> list[str]:
    """A line for each strategy that cannot trade any of its symbols.

    Args:
        windows: how many candles each strategy needs; one that is not there is not judged.
        refused: symbols that are left out, with the reason.
        asked: the other symbols of this run; a strategy with symbols that are in neither is not judged.
    """
    listed, known = rules.load_all(connection, asked), read_known(connection, asked)
    lines = []
    for entry in settings.strategies:
        symbols = settings.symbols_of(entry)
        if entry.name not in windows or not set(symbols) <= {*refused, *asked}:
            continue
        if not symbols:
            lines.append(f"strategy '{entry.name}' trades nothing: the rule of the universe has no member")
            continue
        found = obstacles(settings, entry, windows[entry.name], listed, known, refused)
        if len(found) == len(symbols):
            lines.append(in_words(entry, found))
    return lines

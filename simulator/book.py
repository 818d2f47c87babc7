"""The order book that is shown: levels on the tick grid to both sides of the last price, and how it changes.

A level's size follows from its price, that of the best ones from the time as well. So the book of any moment, and
what differs between two moments, can be told without keeping a book.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from simulator.candles import SCALE, plain
from simulator.market import Market

BREATH_MS = 100  # the best levels change their size so often
MOST_TICKS = 20_000  # beyond such a jump the updates have a gap, and clients take a new snapshot


@dataclass(frozen=True)
class Touch:
    """The book of a moment: its number, and its best bid and ask in units of 10^-8."""

    number: int
    time: int
    bid: int
    ask: int


def touch(market: Market, symbol: str, now: int) -> Touch | None:
    """The book as of a moment; None where nothing has been traded yet."""
    last, tick = market.price(symbol, now), market.tick(symbol)
    if not last:
        return None
    bid, ask = max((last - 1) // tick * tick, tick), last // tick * tick + tick
    return Touch(now + market.revision, now, bid, ask)


def lot(market: Market, symbol: str, price: int, factor: int = 1) -> int:
    """A quantity of about 5,000 units of the quote asset, times a factor, on the grid of lots."""
    step = int(market.symbols.rules[symbol].number("LOT_SIZE", "stepSize") * SCALE) or 1
    return max(5_000 * factor * SCALE * SCALE // price // step, 1) * step


def size(market: Market, symbol: str, price: int, at: Touch) -> int:
    """How much stands at a price of the book; nothing between bid and ask."""
    if at.bid < price < at.ask:
        return 0
    best = price in (at.bid, at.ask)
    tick = market.tick(symbol)
    return lot(market, symbol, price, 1 + (at.time // BREATH_MS if best else price // tick * 7) % 9)


def depth(market: Market, symbol: str, levels: int, now: int) -> dict[str, Any]:
    """The best levels of each side, as GET depth shows them."""
    at, tick = touch(market, symbol, now), market.tick(symbol)
    if at is None:
        return {"lastUpdateId": now + market.revision, "bids": [], "asks": []}
    bids = range(at.bid, max(at.bid - levels * tick, 0), -tick)
    asks = range(at.ask, at.ask + levels * tick, tick)
    return {
        "lastUpdateId": at.number,
        "bids": [[plain(price), plain(size(market, symbol, price, at))] for price in bids],
        "asks": [[plain(price), plain(size(market, symbol, price, at))] for price in asks],
    }


def update(market: Market, symbol: str, before: Touch, at: Touch) -> dict[str, Any] | None:
    """A depthUpdate from one book to a later one; None where there is nothing to tell."""
    if at.number <= before.number:
        return None
    tick = market.tick(symbol)
    first = before.number + 1
    if abs(at.bid - before.bid) > MOST_TICKS * tick:
        first, before = at.number, at
    bids = range(min(before.bid, at.bid), max(before.bid, at.bid) + tick, tick)
    asks = range(min(before.ask, at.ask), max(before.ask, at.ask) + tick, tick)
    return {
        "e": "depthUpdate",
        "E": at.time,
        "s": symbol,
        "U": first,
        "u": at.number,
        "b": [[plain(p), plain(size(market, symbol, p, at) if p <= at.bid else 0)] for p in reversed(bids)],
        "a": [[plain(p), plain(size(market, symbol, p, at) if p >= at.ask else 0)] for p in asks],
    }

"""Tickers, order book and recent trades, drawn from the market as of a moment."""

from __future__ import annotations

from typing import Any

from simulator.book import lot, size, touch
from simulator.candles import H4, SCALE, Candle, merge, plain
from simulator.intervals import DAY
from simulator.market import Market

TRADE_GAP = 1500  # milliseconds between two of the trades that are shown


def price(market: Market, symbol: str, now: int) -> dict[str, Any]:
    return {"symbol": symbol, "price": plain(market.price(symbol, now) or 0)}


def book(market: Market, symbol: str, now: int) -> dict[str, Any]:
    """The best bid and ask."""
    at = touch(market, symbol, now)
    if at is None:
        nothing = dict.fromkeys(("bidPrice", "bidQty", "askPrice", "askQty"), plain(0))
        return {"symbol": symbol, **nothing}
    return {
        "symbol": symbol,
        "bidPrice": plain(at.bid),
        "bidQty": plain(size(market, symbol, at.bid, at)),
        "askPrice": plain(at.ask),
        "askQty": plain(size(market, symbol, at.ask, at)),
    }


def average(market: Market, symbol: str, now: int) -> dict[str, Any]:
    return {"mins": 5, "price": plain(market.average(symbol, 5, now) or 0), "closeTime": now}


def trades(market: Market, symbol: str, numbers: range) -> list[dict[str, Any]]:
    """Trades by number: samples of the price path at even distances."""
    priced = ((number, market.price(symbol, number * TRADE_GAP)) for number in numbers)
    return [_trade(market, symbol, number, traded) for number, traded in priced if traded]


def newest_trades(market: Market, symbol: str, limit: int, now: int) -> list[dict[str, Any]]:
    last = now // TRADE_GAP
    return trades(market, symbol, range(last - limit + 1, last + 1))


def aggregate(shown: dict[str, Any]) -> dict[str, Any]:
    """A trade as aggTrades shows it; each stands alone."""
    return {
        "a": shown["id"],
        "p": shown["price"],
        "q": shown["qty"],
        "f": shown["id"],
        "l": shown["id"],
        "T": shown["time"],
        "m": shown["isBuyerMaker"],
        "M": True,
    }


def _trade(market: Market, symbol: str, number: int, traded: int) -> dict[str, Any]:
    qty = lot(market, symbol, traded)
    return {
        "id": number,
        "price": plain(traded),
        "qty": plain(qty),
        "quoteQty": plain(traded * qty // SCALE),
        "time": number * TRADE_GAP,
        "isBuyerMaker": number % 2 == 0,
        "isBestMatch": True,
    }


def window(market: Market, symbol: str, start: int, now: int) -> Candle:
    """Everything traded since a time as one candle; without trades a flat one at the last price."""
    parts = market.parts(symbol, start, now) if symbol in market.series else []
    if parts:
        return merge(parts, start, now)
    last = market.price(symbol, now) or 0
    return Candle(start, last, last, last, last, 0, now, 0, 0, 0, 0)


def last_day(market: Market, symbol: str, now: int) -> Candle:
    return window(market, symbol, now - DAY + 1, now)


def mini_day(market: Market, symbol: str, now: int) -> dict[str, Any]:
    return mini(symbol, last_day(market, symbol, now))


def mini(symbol: str, c: Candle) -> dict[str, Any]:
    """The short statistics of a window."""
    return {
        "symbol": symbol,
        "openPrice": plain(c.open),
        "highPrice": plain(c.high),
        "lowPrice": plain(c.low),
        "lastPrice": plain(c.close),
        "volume": plain(c.volume),
        "quoteVolume": plain(c.quote_volume),
        "openTime": c.open_time,
        "closeTime": c.close_time,
        "firstId": first_trade(c.open_time),
        "lastId": first_trade(c.open_time) + c.trades - 1,
        "count": c.trades,
    }


def changes(c: Candle) -> dict[str, str]:
    """How the price moved in a window."""
    change = c.close - c.open
    return {
        "priceChange": plain(change),
        "priceChangePercent": f"{change / c.open * 100 if c.open else 0:.3f}",
        "weightedAvgPrice": plain(c.quote_volume * SCALE // c.volume if c.volume else c.close),
    }


def full(symbol: str, c: Candle) -> dict[str, Any]:
    """The statistics of a window, as the rolling ticker shows them."""
    return {"symbol": symbol, **changes(c), **mini(symbol, c)}


def first_trade(time: int) -> int:
    """A trade number that grows with time, as a stand-in for the exchange's own."""
    return time // H4 * 10_000_000


def day(market: Market, symbol: str, now: int) -> dict[str, Any]:
    """The statistics of 24 hours with the best of the book."""
    c = last_day(market, symbol, now)
    last = market.price(symbol, now)
    best = book(market, symbol, now)
    return {
        "symbol": symbol,
        **changes(c),
        "prevClosePrice": plain(market.price(symbol, c.open_time - 1) or c.open),
        "lastQty": plain(lot(market, symbol, last) if last else 0),
        **best,
        **mini(symbol, c),
    }

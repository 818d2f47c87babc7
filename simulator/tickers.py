"""Tickers, order book and recent trades, drawn from the market as of a moment."""

from __future__ import annotations

from typing import Any

from simulator.candles import H4, SCALE, Candle, merge, plain
from simulator.intervals import DAY
from simulator.market import Market

TRADE_GAP = 1500  # milliseconds between two of the trades that are shown


def price(market: Market, symbol: str, now: int) -> dict[str, Any]:
    return {"symbol": symbol, "price": plain(market.price(symbol, now) or 0)}


def best(market: Market, symbol: str, now: int) -> tuple[int, int]:
    """Best bid and ask: one tick to either side of the last price."""
    last, tick = market.price(symbol, now), market.tick(symbol)
    return (max(last - tick, tick), last + tick) if last else (0, 0)


def book(market: Market, symbol: str, now: int) -> dict[str, Any]:
    bid, ask = best(market, symbol, now)
    size = plain(_size(market, symbol, 1, now) if bid else 0)
    return {"symbol": symbol, "bidPrice": plain(bid), "bidQty": size, "askPrice": plain(ask), "askQty": size}


def _size(market: Market, symbol: str, level: int, now: int) -> int:
    """A quantity for a level of the book: about 5,000 units of the quote asset, more further out."""
    step = int(market.symbols.rules[symbol].number("LOT_SIZE", "stepSize") * SCALE) or 1
    last = market.price(symbol, now) or SCALE
    return max(5_000 * level * SCALE * SCALE // last // step, 1) * step


def depth(market: Market, symbol: str, levels: int, now: int) -> dict[str, Any]:
    bid, ask = best(market, symbol, now)
    tick = market.tick(symbol)
    bids = [
        [plain(bid - i * tick), plain(_size(market, symbol, i + 1, now))]
        for i in range(levels)
        if bid > i * tick
    ]
    asks = [[plain(ask + i * tick), plain(_size(market, symbol, i + 1, now))] for i in range(levels) if ask]
    return {"lastUpdateId": now, "bids": bids, "asks": asks}


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
    qty = _size(market, symbol, 1, number * TRADE_GAP)
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
    bid, ask = best(market, symbol, now)
    size = plain(_size(market, symbol, 1, now))
    return {
        "symbol": symbol,
        **changes(c),
        "prevClosePrice": plain(market.price(symbol, c.open_time - 1) or c.open),
        "lastQty": size,
        "bidPrice": plain(bid),
        "bidQty": size,
        "askPrice": plain(ask),
        "askQty": size,
        **mini(symbol, c),
    }

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


def trades(market: Market, symbol: str, limit: int, now: int) -> list[dict[str, Any]]:
    """The newest trades: samples of the price path at even distances."""
    last = now // TRADE_GAP
    shown = []
    for number in range(last - limit + 1, last + 1):
        traded = market.price(symbol, number * TRADE_GAP)
        if traded:
            shown.append(_trade(market, symbol, number, traded))
    return shown


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


def last_day(market: Market, symbol: str, now: int) -> Candle | None:
    """The last 24 hours as one candle; None where nothing was traded."""
    parts = market.parts(symbol, now - DAY + 1, now) if symbol in market.series else []
    return merge(parts, now - DAY + 1, now) if parts else None


def last_day_or_still(market: Market, symbol: str, now: int) -> Candle:
    return last_day(market, symbol, now) or _still(market, symbol, now)


def _still(market: Market, symbol: str, now: int) -> Candle:
    last = market.price(symbol, now) or 0
    return Candle(now - DAY + 1, last, last, last, last, 0, now, 0, 0, 0, 0)


def mini_day(market: Market, symbol: str, now: int) -> dict[str, Any]:
    c = last_day_or_still(market, symbol, now)
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


def first_trade(time: int) -> int:
    """A trade number that grows with time, as a stand-in for the exchange's own."""
    return time // H4 * 10_000_000


def day(market: Market, symbol: str, now: int) -> dict[str, Any]:
    mini = mini_day(market, symbol, now)
    c = last_day_or_still(market, symbol, now)
    bid, ask = best(market, symbol, now)
    size = plain(_size(market, symbol, 1, now))
    change = c.close - c.open
    mean = c.quote_volume * SCALE // c.volume if c.volume else c.close
    head = {
        "symbol": symbol,
        "priceChange": plain(change),
        "priceChangePercent": f"{change / c.open * 100 if c.open else 0:.3f}",
        "weightedAvgPrice": plain(mean),
        "prevClosePrice": plain(market.price(symbol, c.open_time - 1) or c.open),
        "lastPrice": plain(c.close),
        "lastQty": size,
        "bidPrice": plain(bid),
        "bidQty": size,
        "askPrice": plain(ask),
        "askQty": size,
    }
    return head | mini

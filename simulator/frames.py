"""What streams say: from a stream's name and a moment to the JSON of its event."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from simulator import book, intervals, tickers
from simulator.candles import H4, Candle, plain
from simulator.market import Market
from simulator.reference import reference
from simulator.wire import dump

NAME = re.compile(r"^(?P<symbol>[a-z0-9_.-]+)@(?P<kind>[A-Za-z]+)(?P<levels>\d*)(_(?P<interval>\w+))?(@.*)?$")
ALL = re.compile(r"^!(?P<kind>miniTicker|ticker_(?P<interval>1h|4h|1d))@arr$")
WINDOWS = {"1h": intervals.HOUR, "4h": 4 * intervals.HOUR, "1d": intervals.DAY}
PARTS = (0, 5, 10, 20)  # levels of partial books; 0 for the updates of the whole one
KLINE_PACE = 2000  # milliseconds between two updates of most klines, of which the others are shares
CLOSE_LAG = 7  # milliseconds between a candle's close time and the event that tells it


@dataclass(frozen=True)
class Stream:
    """A stream that can be subscribed to; an empty symbol stands for all symbols."""

    name: str
    symbol: str
    kind: str
    interval: str = ""
    levels: int = 0

    @classmethod
    def named(cls, name: str) -> Stream | None:
        """The stream of a name; None for a name that no stream has."""
        if (match := ALL.match(name)) is not None:
            return cls(name, "", match["kind"].partition("_")[0], match["interval"] or "")
        match = NAME.match(name)
        if match is None:
            return None
        kind, interval = match["kind"], match["interval"] or ""
        if kind == "kline" and interval not in intervals.NAMES:
            return None
        if kind == "ticker" and interval and interval not in WINDOWS:
            return None
        if kind == "depth" and int(match["levels"] or 0) not in PARTS:
            return None
        return cls(name, match["symbol"].upper(), kind, interval, int(match["levels"] or 0))

    @property
    def pace(self) -> int:
        """Milliseconds between two updates as the exchange documents them; 1000 for what comes at once there."""
        if self.kind == "kline":
            return KLINE_PACE if self.interval != "1s" else 1000
        return 100 if self.kind == "depth" and self.name.endswith("@100ms") else 1000


def update(market: Market, stream: Stream, now: int) -> str | None:
    """What a stream says at a moment; None when it has nothing to say."""
    if stream.symbol == "":
        listed = {rules.symbol for rules in market.symbols.listed}
        traded = [s for s in market.series if s in listed and market.price(s, now) is not None]
        return dump([_ticker(market, stream, symbol, now) for symbol in traded])
    if stream.symbol not in market.symbols.rules or market.price(stream.symbol, now) is None:
        return None
    if stream.kind == "kline":
        return running_kline(market, stream, now)
    if stream.kind == "depth":
        return dump(book.depth(market, stream.symbol, stream.levels, now)) if stream.levels else None
    return dump(_ticker(market, stream, stream.symbol, now)) if stream.kind in TICKERS else None


def _ticker(market: Market, stream: Stream, symbol: str, now: int) -> dict[str, Any]:
    if stream.interval:
        return window_ticker(market, symbol, stream.interval, now)
    return TICKERS[stream.kind](market, symbol, now)


def running_kline(market: Market, stream: Stream, now: int) -> str | None:
    if stream.symbol not in market.series:
        return None
    open_time = intervals.opening(stream.interval, now)
    candle = market.candle(stream.symbol, stream.interval, open_time, now)
    return _kline(stream, candle, now, closed=False) if candle else None


def closed_kline(market: Market, stream: Stream, open_time: int) -> str | None:
    """The event that tells that a candle has closed; None where there is none to tell of."""
    symbol = stream.symbol
    if symbol not in market.series:
        return None
    close_time = intervals.following(stream.interval, open_time) - 1
    if stream.interval == "4h" and (row := market.served_row(symbol, open_time)) is not None:
        return _raw_kline(stream, json.loads(row), close_time + CLOSE_LAG) if row else None
    candle = market.candle(symbol, stream.interval, open_time, close_time)
    return _kline(stream, candle, close_time + CLOSE_LAG, closed=True) if candle else None


def _kline(stream: Stream, c: Candle, event_time: int, closed: bool) -> str:
    first = tickers.first_trade(c.open_time) if c.trades else -1
    return (
        f'{{"e":"kline","E":{event_time},"s":"{stream.symbol}","k":{{"t":{c.open_time},"T":{c.close_time},'
        f'"s":"{stream.symbol}","i":"{stream.interval}","f":{first},"L":{first + max(c.trades - 1, 0)},'
        f'"o":"{plain(c.open)}","c":"{plain(c.close)}","h":"{plain(c.high)}","l":"{plain(c.low)}",'
        f'"v":"{plain(c.volume)}","n":{c.trades},"x":{"true" if closed else "false"},'
        f'"q":"{plain(c.quote_volume)}","V":"{plain(c.taker_base)}","Q":"{plain(c.taker_quote)}","B":"0"}}}}'
    )


def _raw_kline(stream: Stream, row: list[Any], event_time: int) -> str:
    """A closed four-hour candle with exactly the values that klines serves."""
    names = dict(zip("tohlcvTqnVQB", row, strict=True))
    first = tickers.first_trade(row[0])
    trades = row[8] if isinstance(row[8], int) else 0
    names |= {
        "s": stream.symbol,
        "i": stream.interval,
        "f": first,
        "L": first + max(trades - 1, 0),
        "x": True,
    }
    names["T"] = row[0] + H4 - 1
    return dump({"e": "kline", "E": event_time, "s": stream.symbol, "k": names})


def mini_ticker(market: Market, symbol: str, now: int) -> dict[str, Any]:
    c = tickers.last_day(market, symbol, now)
    prices = {"c": plain(c.close), "o": plain(c.open), "h": plain(c.high), "l": plain(c.low)}
    volumes = {"v": plain(c.volume), "q": plain(c.quote_volume)}
    return {"e": "24hrMiniTicker", "E": now, "s": symbol, **prices, **volumes}


def ticker(market: Market, symbol: str, now: int) -> dict[str, Any]:
    day = tickers.day(market, symbol, now)
    return {
        "e": "24hrTicker",
        "E": now,
        "s": symbol,
        "p": day["priceChange"],
        "P": day["priceChangePercent"],
        "w": day["weightedAvgPrice"],
        "x": day["prevClosePrice"],
        "c": day["lastPrice"],
        "Q": day["lastQty"],
        "b": day["bidPrice"],
        "B": day["bidQty"],
        "a": day["askPrice"],
        "A": day["askQty"],
        "o": day["openPrice"],
        "h": day["highPrice"],
        "l": day["lowPrice"],
        "v": day["volume"],
        "q": day["quoteVolume"],
        "O": day["openTime"],
        "C": day["closeTime"],
        "F": day["firstId"],
        "L": day["lastId"],
        "n": day["count"],
    }


def window_ticker(market: Market, symbol: str, length: str, now: int) -> dict[str, Any]:
    """Statistics of a rolling window that begins on a minute."""
    start = now - WINDOWS[length]
    c = tickers.window(market, symbol, start - start % intervals.MINUTE, now)
    full = tickers.full(symbol, c)
    return {
        "e": f"{length}Ticker",
        "E": now,
        "s": symbol,
        "p": full["priceChange"],
        "P": full["priceChangePercent"],
        "o": full["openPrice"],
        "h": full["highPrice"],
        "l": full["lowPrice"],
        "c": full["lastPrice"],
        "w": full["weightedAvgPrice"],
        "v": full["volume"],
        "q": full["quoteVolume"],
        "O": full["openTime"],
        "C": full["closeTime"],
        "F": full["firstId"],
        "L": full["lastId"],
        "n": full["count"],
    }


def reference_price(market: Market, symbol: str, now: int) -> dict[str, Any]:
    price = reference(market, symbol, now)
    return {"e": "referencePrice", "s": symbol, "r": None if price is None else plain(price), "t": now}


def book_ticker(market: Market, symbol: str, now: int) -> dict[str, Any]:
    best = tickers.book(market, symbol, now)
    bid, ask = {"b": best["bidPrice"], "B": best["bidQty"]}, {"a": best["askPrice"], "A": best["askQty"]}
    return {"u": now + market.revision, "s": symbol, **bid, **ask}


def average_price(market: Market, symbol: str, now: int) -> dict[str, Any]:
    average = plain(market.average(symbol, 5, now) or 0)
    return {"e": "avgPrice", "E": now, "s": symbol, "i": "5m", "w": average, "T": now}


def trade(market: Market, symbol: str, now: int) -> dict[str, Any]:
    shown = tickers.newest_trades(market, symbol, 1, now)[-1]
    return {
        "e": "trade",
        "E": now,
        "s": symbol,
        "t": shown["id"],
        "p": shown["price"],
        "q": shown["qty"],
        "T": shown["time"],
        "m": shown["isBuyerMaker"],
        "M": True,
    }


def aggregate_trade(market: Market, symbol: str, now: int) -> dict[str, Any]:
    shown = trade(market, symbol, now)
    number = shown.pop("t")
    return {**shown, "e": "aggTrade", "a": number, "f": number, "l": number}


TICKERS = {
    "miniTicker": mini_ticker,
    "ticker": ticker,
    "bookTicker": book_ticker,
    "avgPrice": average_price,
    "referencePrice": reference_price,
    "trade": trade,
    "aggTrade": aggregate_trade,
}

"""What streams say: from a stream's name and a moment to the JSON of its event."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from simulator import intervals, tickers
from simulator.candles import H4, Candle, plain
from simulator.market import Market
from simulator.wire import dump

NAME = re.compile(r"^(?P<symbol>[a-z0-9_.-]+)@(?P<kind>[A-Za-z]+)(?P<levels>\d*)(_(?P<interval>\w+))?(@.*)?$")
ALL = {"!miniTicker@arr": "miniTicker", "!ticker@arr": "ticker"}
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
        if name in ALL:
            return cls(name, "", ALL[name])
        match = NAME.match(name)
        if match is None:
            return None
        kind, interval = match["kind"], match["interval"] or ""
        if kind == "kline" and interval not in intervals.NAMES:
            return None
        return cls(name, match["symbol"].upper(), kind, interval, int(match["levels"] or 0))


def update(market: Market, stream: Stream, now: int) -> str | None:
    """What a stream says at a moment; None when it has nothing to say."""
    if stream.symbol == "":
        listed = {rules.symbol for rules in market.symbols.listed}
        traded = [s for s in market.series if s in listed and market.price(s, now) is not None]
        return dump([TICKERS[stream.kind](market, symbol, now) for symbol in traded])
    if stream.symbol not in market.symbols.rules or market.price(stream.symbol, now) is None:
        return None
    if stream.kind == "kline":
        return running_kline(market, stream, now)
    if stream.kind == "depth":
        return dump(tickers.depth(market, stream.symbol, stream.levels, now)) if stream.levels else None
    event = TICKERS.get(stream.kind)
    return dump(event(market, stream.symbol, now)) if event else None


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


def book_ticker(market: Market, symbol: str, now: int) -> dict[str, Any]:
    book = tickers.book(market, symbol, now)
    bid, ask = {"b": book["bidPrice"], "B": book["bidQty"]}, {"a": book["askPrice"], "A": book["askQty"]}
    return {"u": now, "s": symbol, **bid, **ask}


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
    "trade": trade,
    "aggTrade": aggregate_trade,
}

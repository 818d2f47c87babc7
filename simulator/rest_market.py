"""Market data over REST: time, rules, klines, prices, books, trades. No key needed."""

from __future__ import annotations

from typing import Any

from simulator import book, errors, intervals, tickers
from simulator.endpoints import NONE, Call, registry
from simulator.params import Params
from simulator.symbols import Rules

MOST_24HR = 100


def by_symbols(one: int, all_of_them: int) -> Any:
    """A weight that is small for one symbol and large for many or all."""
    return lambda params: one if "symbol" in params.values else all_of_them


def depth_weight(params: Params) -> int:
    limit = params.values.get("limit", "100")
    rows = int(limit) if limit.isdecimal() else 100
    return 5 if rows <= 100 else 25 if rows <= 500 else 50 if rows <= 1000 else 250


def day_weight(params: Params) -> int:
    if "symbol" in params.values:
        return 2
    named = params.values.get("symbols", "").count(",") + 1 if "symbols" in params.values else 1000
    return 2 if named <= 20 else 40 if named <= MOST_24HR else 80


def by_count(each: int, most: int) -> Any:
    """A weight for each symbol that is named, up to a greatest one."""
    return lambda params: min(each * (params.values.get("symbols", "").count(",") + 1), most)


@registry.add("GET", "/api/v3/ping", NONE, 1)
def ping(_call: Call) -> Any:
    return {}


@registry.add("GET", "/api/v3/time", NONE, 1)
def server_time(call: Call) -> Any:
    return {"serverTime": call.told_time}


@registry.add(
    "GET", "/api/v3/exchangeInfo", NONE, 20, "symbol symbols permissions showPermissionSets symbolStatus"
)
def exchange_info(call: Call) -> Any:
    symbols, names = call.exchange.symbols, call.params.symbols()
    chosen = symbols.listed if names is None else [symbols.get(name) for name in names]
    status = call.params.choice(
        "symbolStatus", ("TRADING", "HALT", "BREAK"), errors.Refusal(-1122, "Invalid symbolStatus.")
    )
    wanted = _permissions(call.params)
    chosen = [r for r in chosen if (status in (None, r.status)) and (wanted is None or _permitted(r, wanted))]
    return symbols.info(call.told_time, chosen)


def _permissions(params: Params) -> set[str] | None:
    text = params.text("permissions")
    return None if text is None else set(text.strip("[]").replace('"', "").split(","))


def _permitted(rules: Rules, wanted: set[str]) -> bool:
    sets = rules.entry.get("permissionSets") or [rules.entry.get("permissions") or ["SPOT"]]
    return any(wanted & set(group) for group in sets)


@registry.add("GET", "/api/v3/klines", NONE, 2, "symbol interval startTime endTime timeZone limit")
@registry.add("GET", "/api/v3/uiKlines", NONE, 2, "symbol interval startTime endTime timeZone limit")
def klines(call: Call) -> Any:
    params = call.params
    rules = call.exchange.symbols.get(params.symbol())
    interval = params.need("interval")
    if interval not in intervals.NAMES:
        raise errors.Refusal(-1120, "Invalid interval.")
    start, end = params.integer("startTime"), params.integer("endTime")
    limit = params.limit()
    return call.exchange.market.klines(rules.symbol, interval, start, end, limit, call.now)


@registry.add("GET", "/api/v3/ticker/price", NONE, by_symbols(2, 4), "symbol symbols symbolStatus")
def price(call: Call) -> Any:
    return _one_or_many(call, tickers.price)


@registry.add("GET", "/api/v3/ticker/bookTicker", NONE, by_symbols(2, 4), "symbol symbols symbolStatus")
def book_ticker(call: Call) -> Any:
    return _one_or_many(call, tickers.book)


@registry.add("GET", "/api/v3/ticker/24hr", NONE, day_weight, "symbol symbols type symbolStatus")
def day(call: Call) -> Any:
    mini = call.params.text("type") == "MINI"
    return _one_or_many(call, tickers.mini_day if mini else tickers.day)


@registry.add("GET", "/api/v3/avgPrice", NONE, 2, "symbol")
def average_price(call: Call) -> Any:
    rules = call.exchange.symbols.get(call.params.symbol())
    return tickers.average(call.exchange.market, rules.symbol, call.now)


@registry.add("GET", "/api/v3/depth", NONE, depth_weight, "symbol limit symbolStatus")
def depth(call: Call) -> Any:
    rules = call.exchange.symbols.get(call.params.symbol())
    return book.depth(call.exchange.market, rules.symbol, call.params.limit(100, 5000), call.now)


@registry.add("GET", "/api/v3/trades", NONE, 25, "symbol limit")
def trades(call: Call) -> Any:
    rules = call.exchange.symbols.get(call.params.symbol())
    return tickers.newest_trades(call.exchange.market, rules.symbol, call.params.limit(), call.now)


@registry.add("GET", "/api/v3/historicalTrades", NONE, 25, "symbol limit fromId")
def older_trades(call: Call) -> Any:
    rules = call.exchange.symbols.get(call.params.symbol())
    return tickers.trades(call.exchange.market, rules.symbol, _numbers(call))


@registry.add("GET", "/api/v3/aggTrades", NONE, 4, "symbol fromId startTime endTime limit")
def aggregate_trades(call: Call) -> Any:
    rules = call.exchange.symbols.get(call.params.symbol())
    found = tickers.trades(call.exchange.market, rules.symbol, _numbers(call))
    return [tickers.aggregate(trade) for trade in found]


def _numbers(call: Call) -> range:
    """The numbers of the trades that are asked for, from a number or a time on, or else the newest."""
    params, gap = call.params, tickers.TRADE_GAP
    first, start, end = params.integer("fromId"), params.integer("startTime"), params.integer("endTime")
    limit = params.limit()
    last = min(call.now if end is None else end, call.now) // gap
    if first is None and start is None:
        return range(max(last - limit + 1, 0), last + 1)
    first = -(-(start or 0) // gap) if first is None else first
    return range(first, min(first + limit, last + 1))


@registry.add(
    "GET", "/api/v3/ticker/tradingDay", NONE, by_count(4, 200), "symbol symbols timeZone type symbolStatus"
)
def trading_day(call: Call) -> Any:
    midnight = intervals.opening("1d", call.now)
    return _one_or_many(
        call, lambda market, s, now: tickers.full(s, tickers.window(market, s, midnight, now))
    )


@registry.add("GET", "/api/v3/ticker", NONE, by_count(4, 200), "symbol symbols windowSize type symbolStatus")
def rolling(call: Call) -> Any:
    if call.params.symbols() is None:
        raise errors.missing_either("symbol", "symbols")
    text = call.params.text("windowSize", r"^([1-9]|[1-5][0-9])[mhd]$") or "1d"
    length = int(text[:-1]) * {"m": intervals.MINUTE, "h": intervals.HOUR, "d": intervals.DAY}[text[-1]]
    start = call.now - length - (call.now - length) % intervals.MINUTE
    return _one_or_many(call, lambda market, s, now: tickers.full(s, tickers.window(market, s, start, now)))


def _one_or_many(call: Call, ticker: Any) -> Any:
    """A ticker for one symbol, or a list for those named, or for all that have traded."""
    market, names = call.exchange.market, call.params.symbols()
    if names is None:
        listed = [rules.symbol for rules in call.exchange.symbols.listed]
        traded = [s for s in listed if market.price(s, call.now) is not None]
        return [ticker(market, symbol, call.now) for symbol in traded]
    answers = [ticker(market, call.exchange.symbols.get(name).symbol, call.now) for name in names]
    return answers[0] if "symbol" in call.params.values else answers

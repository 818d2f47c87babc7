"""A symbol's trading rules, and values made to fit them: exact, and refused rather than bent beyond recognition."""

from __future__ import annotations

import functools
import json
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from sqlalchemy import Connection, text

from eightbells.exchange import fields
from eightbells.exchange.fields import RulesUnreadable

Side = Literal["BUY", "SELL"]
_ZERO = Decimal(0)


class RuleBroken(ValueError):
    """No value near the wanted one would be accepted; the text says which rule and which bound."""


@dataclass(frozen=True)
class Situation:
    """What the exchange judges an order by besides the order itself.

    `average` is its average price of the last minutes (avgPrice), by which it values MARKET orders and bounds
    limit prices; `held` the base asset owned, free and locked, plus what open buys may still bring.
    """

    average: Decimal | None = None
    held: Decimal = _ZERO
    open_orders: int = 0


@dataclass(frozen=True)
class SymbolRules:
    """Filters of one symbol as exchangeInfo lists them. A step, tick, minimum or maximum of 0 is no rule.

    A quantity or price never has more digits than its asset: `base_unit` and `quote_unit` are the smallest amounts.
    `trailing` bounds how far below the price a trailing stop that sells may be, in hundredths of a percent.
    """

    symbol: str
    status: str
    base_asset: str
    quote_asset: str
    order_types: frozenset[str]
    base_unit: Decimal
    quote_unit: Decimal
    min_price: Decimal
    max_price: Decimal
    tick: Decimal
    lot: Step
    market_lot: Step
    min_notional: Decimal
    max_notional: Decimal
    min_applies_to_market: bool
    max_applies_to_market: bool
    bid_bounds: tuple[Decimal, Decimal]
    ask_bounds: tuple[Decimal, Decimal]
    max_position: Decimal
    max_orders: int
    takes_lists: bool = False
    trailing: tuple[int, int] = (0, 0)

    @classmethod
    def from_exchange_info(cls, entry: Mapping[str, Any]) -> SymbolRules:
        """Read one entry of exchangeInfo's `symbols`.

        Raises:
            RulesUnreadable: a field is missing or is not what it must be.
        """
        filters = fields.filters_of(entry)
        price, notional = filters.get("PRICE_FILTER", {}), filters.get("NOTIONAL", {})
        older = filters.get("MIN_NOTIONAL", {})
        return cls(
            symbol=fields.word(entry, "symbol"),
            status=fields.word(entry, "status"),
            base_asset=fields.word(entry, "baseAsset"),
            quote_asset=fields.word(entry, "quoteAsset"),
            order_types=fields.words(entry, "orderTypes"),
            base_unit=fields.smallest_unit(entry, "baseAssetPrecision"),
            quote_unit=fields.smallest_unit(entry, "quoteAssetPrecision"),
            min_price=fields.number(price, "minPrice"),
            max_price=fields.number(price, "maxPrice"),
            tick=fields.number(price, "tickSize"),
            lot=Step.read(filters.get("LOT_SIZE", {})),
            market_lot=Step.read(filters.get("MARKET_LOT_SIZE", {})),
            min_notional=max(fields.number(notional, "minNotional"), fields.number(older, "minNotional")),
            max_notional=fields.number(notional, "maxNotional"),
            min_applies_to_market=fields.flag(notional, "applyMinToMarket")
            or fields.flag(older, "applyToMarket"),
            max_applies_to_market=fields.flag(notional, "applyMaxToMarket"),
            bid_bounds=_percent_bounds(filters, "bid"),
            ask_bounds=_percent_bounds(filters, "ask"),
            max_position=fields.number(filters.get("MAX_POSITION", {}), "maxPosition"),
            max_orders=int(fields.number(filters.get("MAX_NUM_ORDERS", {}), "maxNumOrders")),
            takes_lists=entry.get("ocoAllowed") is True,
            trailing=_trailing_bounds(entry, filters.get("TRAILING_DELTA", {})),
        )

    def fit(
        self, side: Side, quantity: Decimal, price: Decimal | None, situation: Situation
    ) -> tuple[Decimal, Decimal | None]:
        """Quantity and price that pass every filter which applies to LIMIT and MARKET orders.

        Args:
            price: None for a MARKET order.

        Raises:
            RuleBroken: nothing near the wanted values passes.
        """
        market = price is None
        valued_at = situation.average if price is None else self.price(side, price)
        if not market and situation.average is not None:
            assert valued_at is not None
            low, high = self.bid_bounds if side == "BUY" else self.ask_bounds
            _within(f"{self.symbol} price", valued_at, situation.average * low, situation.average * high)
        fitted = self.quantity(quantity, valued_at, market=market)
        if side == "BUY" and self.max_position:
            _within(f"{self.symbol} position", situation.held + fitted, _ZERO, self.max_position)
        if self.max_orders and situation.open_orders >= self.max_orders:
            raise RuleBroken(
                f"{self.symbol} has {situation.open_orders} open orders, {self.max_orders} is the most"
            )
        return fitted, None if market else valued_at

    def price(self, side: Side, wanted: Decimal) -> Decimal:
        """The limit price on the tick that never pays more than was wanted, nor sells for less."""
        on_tick = _to_step(wanted, self.tick, up=side == "SELL")
        price = _to_step(on_tick, self.quote_unit, up=side == "SELL")
        _within(f"{self.symbol} price", price, self.min_price, self.max_price)
        if price <= 0:
            raise RuleBroken(f"{self.symbol} price {_plain(wanted)} is below the tick {_plain(self.tick)}")
        return price

    def quantity(self, wanted: Decimal, price: Decimal | None, *, market: bool = False) -> Decimal:
        """The largest quantity that is not above the wanted one and passes LOT_SIZE and the notional filters.

        Args:
            price: what it is valued at; None leaves the notional filters to the exchange.

        Raises:
            RuleBroken: even that is too small, or too large, for the symbol.
        """
        on_step = self.lot.floor(self.market_lot.floor(wanted) if market else wanted)
        quantity = _to_step(on_step, self.base_unit)
        self.lot.check(f"{self.symbol} quantity", quantity)
        if market:
            self.market_lot.check(f"{self.symbol} market quantity", quantity)
        if price is not None:
            self._check_notional(quantity * price, market)
        return quantity

    def _check_notional(self, notional: Decimal, market: bool) -> None:
        low = self.min_notional if not market or self.min_applies_to_market else _ZERO
        high = self.max_notional if not market or self.max_applies_to_market else _ZERO
        _within(f"{self.symbol} notional", notional, low, high)


@dataclass(frozen=True)
class Step:
    """Minimum, maximum and step of a quantity."""

    least: Decimal
    most: Decimal
    step: Decimal

    @classmethod
    def read(cls, entry: Mapping[str, Any]) -> Step:
        return cls(*(fields.number(entry, name) for name in ("minQty", "maxQty", "stepSize")))

    def floor(self, value: Decimal) -> Decimal:
        capped = min(value, self.most) if self.most else value
        return _to_step(capped, self.step)

    def check(self, what: str, value: Decimal) -> None:
        _within(what, value, self.least, self.most)
        if value <= 0:
            raise RuleBroken(f"{what} {_plain(value)} is nothing")


def _percent_bounds(filters: Mapping[str, Mapping[str, Any]], side: str) -> tuple[Decimal, Decimal]:
    """Lowest and highest price as shares of the average; 0 is no bound."""
    by_side, older = filters.get("PERCENT_PRICE_BY_SIDE", {}), filters.get("PERCENT_PRICE", {})
    lows = [fields.number(by_side, f"{side}MultiplierDown"), fields.number(older, "multiplierDown")]
    highs = [fields.number(by_side, f"{side}MultiplierUp"), fields.number(older, "multiplierUp")]
    return max(lows), min([high for high in highs if high], default=_ZERO)


def _trailing_bounds(entry: Mapping[str, Any], rule: Mapping[str, Any]) -> tuple[int, int]:
    """Smallest and largest delta of a trailing stop that sells; 0 and 0 where the symbol takes none."""
    if entry.get("allowTrailingStop") is not True:
        return 0, 0
    return int(fields.number(rule, "minTrailingBelowDelta")), int(
        fields.number(rule, "maxTrailingBelowDelta")
    )


def wire(value: Decimal) -> str:
    """How a number goes to the exchange: plain digits, no exponent, which Binance refuses with -1100."""
    return _plain(value)


def _plain(value: Decimal) -> str:
    shown = format(value, "f")
    return shown.rstrip("0").rstrip(".") if "." in shown else shown


def _to_step(value: Decimal, step: Decimal, *, up: bool = False) -> Decimal:
    if not step:
        return value
    steps = value // step  # unlike a quotient of 28 digits it is never rounded
    if up and steps * step < value:
        steps += 1
    return steps * step


def _within(what: str, value: Decimal, low: Decimal, high: Decimal) -> None:
    if low and value < low:
        raise RuleBroken(f"{what} {_plain(value)} is below the minimum {_plain(low)}")
    if high and value > high:
        raise RuleBroken(f"{what} {_plain(value)} is above the maximum {_plain(high)}")


def as_json(entry: Mapping[str, Any]) -> str:
    """An entry as Postgres keeps it.

    Raises:
        RulesUnreadable: it holds what no JSON may, such as NaN.
    """
    try:
        written = json.dumps(entry, allow_nan=False, ensure_ascii=False)
        written.encode()
    except ValueError:
        written = ""
    if not written or "\\u0000" in written:
        raise RulesUnreadable("exchangeInfo cannot be read: a field is no JSON")
    return written


def save(connection: Connection, entry: Mapping[str, Any], seen_at: datetime) -> None:
    """Keep a symbol's entry of exchangeInfo, one that can be read."""
    connection.execute(
        text("""
        INSERT INTO symbols (symbol, status, base_asset, quote_asset, rules, seen_at)
        VALUES (:symbol, :status, :base, :quote, CAST(:rules AS jsonb), :seen)
        ON CONFLICT (symbol) DO UPDATE SET
            status = excluded.status, base_asset = excluded.base_asset, quote_asset = excluded.quote_asset,
            rules = excluded.rules, seen_at = excluded.seen_at
        """),
        {
            "symbol": entry["symbol"],
            "status": entry["status"],
            "base": entry["baseAsset"],
            "quote": entry["quoteAsset"],
            "rules": as_json(entry),
            "seen": seen_at,
        },
    )


def load(connection: Connection, symbol: str) -> SymbolRules | None:
    """The rules as last seen, or None where the symbol was never seen."""
    return load_all(connection, [symbol]).get(symbol)


def load_all(connection: Connection, symbols: Collection[str]) -> dict[str, SymbolRules]:
    """The rules as last seen of those symbols that were ever seen with rules that can be read."""
    entries = connection.execute(
        text("SELECT symbol, CAST(rules AS text) FROM symbols WHERE symbol = ANY(:symbols)"),
        {"symbols": list(symbols)},
    ).tuples()
    return {symbol: rules for symbol, entry in entries if (rules := _read(entry)) is not None}


@functools.lru_cache(maxsize=4096)  # between two refreshes of the rules the same text is read many times
def _read(entry: str) -> SymbolRules | None:
    with suppress(RulesUnreadable):
        return SymbolRules.from_exchange_info(json.loads(entry))
    return None

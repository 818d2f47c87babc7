"""How much to buy or sell: within the allocated capital, within the symbol's rules, in exact decimals.

Pure: `order_for` makes an order of what a strategy wants, for live trading and for a backtest alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from eightbells.exchange.rules import RuleBroken, Side, SymbolRules, wire
from eightbells.settings.sections import ExitStep, StrategySettings, TradingSettings
from eightbells.trading.jumps import Close, volatility

Leg = Literal["entry", "exit", "stop", "sellout", "manual", "trim", "target"]
_ONE = Decimal(1)
_CANDLES_PER_YEAR = 365 * 6


@dataclass(frozen=True)
class BuyingPower:
    """What a strategy has to work with: what it owns of the symbol, and what it may still spend on it (quote)."""

    owned: Decimal
    spendable: Decimal


@dataclass(frozen=True)
class Wanted:
    """What a strategy wants to hold of a symbol.

    Args:
        price: the close that it was decided at.
        last: the exchange's last price, where it is known.
        weight: share of the capital; None for an equal share.
        volatility: standard deviation of the symbol's returns per year; None where it is not known.
    """

    target: Literal["long", "flat"]
    price: Decimal
    last: Decimal | None = None
    weight: Decimal | None = None
    volatility: Decimal | None = None


@dataclass(frozen=True)
class Purse:
    """What a strategy has, in the quote asset and of the symbol.

    Args:
        owned: of the symbol's base asset, net of fees.
        cash: what is left to spend on all symbols: capital and what its trades brought, less what open buys may cost.
        worth: its equity: capital, plus what its trades brought and what it holds, less fees in other assets.
        symbols: among how many symbols it shares its capital.
        bought: how many purchases its position is made of; sold: how many sales of a part came after them.
    """

    owned: Decimal
    cash: Decimal
    worth: Decimal
    symbols: int = 1
    bought: int = 1
    sold: int = 0


@dataclass(frozen=True)
class Sized:
    """An order that the symbol's rules accept. `price` is None for a MARKET order; `basis` says what it is made of.

    With `trailing_delta` (hundredths of a percent) the exchange moves a stop up from `stop_price`.
    `above` is the limit order that a stop is placed with in one order list: the exchange executes one of the two.
    """

    leg: Leg
    side: Side
    quantity: Decimal
    price: Decimal | None
    stop_price: Decimal | None = None
    basis: str = ""
    above: Sized | None = None
    maker: bool = False
    trailing_delta: int | None = None

    @property
    def type(self) -> str:
        if self.stop_price is not None:
            return "STOP_LOSS" if self.price is None else "STOP_LOSS_LIMIT"
        if self.price is None:
            return "MARKET"
        return "LIMIT_MAKER" if self.maker else "LIMIT"


def order_for(
    wanted: Wanted, purse: Purse, rules: SymbolRules, strategy: StrategySettings, trading: TradingSettings
) -> Sized | None:
    """The order that takes a strategy to what it wants of a symbol; None where it is there, or close enough.

    What is planned must be taken off the purse before the next symbol is sized.

    Raises:
        RuleBroken: an order is called for and none is acceptable: too small, too large, or no money is left.
    """
    if wanted.target == "flat":
        return _way_out(wanted, purse, rules, strategy, trading)
    market = trading.order_type == "market"
    # a MARKET order is paid at what the price is by now, and the capital must suffice
    price = max(wanted.price, wanted.last or wanted.price) if market else wanted.price
    holds = sellable(purse.owned, price, rules, market) > 0
    if holds and not strategy.rebalance_band and purse.bought >= strategy.scale_steps:
        return None
    goal = _goal(wanted, purse, rules, strategy)
    part = missing = goal / strategy.scale_steps
    if holds and strategy.rebalance_band:
        missing = goal - purse.owned * price
        if abs(missing) <= strategy.rebalance_band * goal:
            return None
        if missing < 0:
            return _trim(min(-missing / price, purse.owned / strategy.scale_steps), purse.owned, price, rules)
    buying_power = BuyingPower(purse.owned, min(part, missing, purse.cash))
    return _purchase(price, buying_power, rules, market=market, offset=trading.limit_offset)


def _goal(wanted: Wanted, purse: Purse, rules: SymbolRules, strategy: StrategySettings) -> Decimal:
    """What the position should be worth."""
    whole = purse.worth if strategy.sizing == "equity" else strategy.capital
    goal = whole / purse.symbols if wanted.weight is None else whole * wanted.weight
    if strategy.target_volatility:
        if not wanted.volatility:
            raise RuleBroken(f"{rules.symbol}: its volatility is not known yet (target_volatility)")
        goal *= min(_ONE, strategy.target_volatility / wanted.volatility)
    return goal


def _way_out(
    wanted: Wanted, purse: Purse, rules: SymbolRules, strategy: StrategySettings, trading: TradingSettings
) -> Sized | None:
    """The sale of all that is owned, or of the next of the parts that it is sold in."""
    price, step = wanted.price, "market" if trading.order_type == "market" else trading.exit_steps[0]
    if step != "market":
        price = exit_price(wanted.price, wanted.last, step, rules, trading)
    whole = exit_order(price, BuyingPower(purse.owned, Decimal(0)), rules, market=step == "market")
    left = strategy.scale_steps - purse.sold
    if whole is None or left <= 1:
        return whole
    with suppress(RuleBroken):  # too small to be divided
        return _trim(purse.owned / left, purse.owned, wanted.last or wanted.price, rules)
    return whole


def _trim(wanted: Decimal, owned: Decimal, price: Decimal, rules: SymbolRules) -> Sized:
    """The sale of a part: at market, so that the rest gets its stop again at once."""
    quantity = rules.quantity(min(wanted, owned), price, market=True)
    return Sized("trim", "SELL", quantity, None, basis=f"{wire(owned)} owned, {wire(owned - quantity)} stays")


def entry_order(
    close: Decimal,
    buying_power: BuyingPower,
    rules: SymbolRules,
    *,
    market: bool,
    offset: Decimal = Decimal(0),
) -> Sized | None:
    """The purchase that takes the strategy into the symbol; None where it is there already.

    Args:
        close: what the purchase is valued at.
        market: MARKET instead of LIMIT.
        offset: how far a limit price goes towards the other side of the book, as a share of the close.

    Raises:
        RuleBroken: no order is acceptable.
    """
    if sellable(buying_power.owned, close, rules, market):
        return None
    return _purchase(close, buying_power, rules, market=market, offset=offset)


def _purchase(
    close: Decimal, buying_power: BuyingPower, rules: SymbolRules, *, market: bool, offset: Decimal
) -> Sized:
    price = rules.price("BUY", close * (1 + offset))
    if buying_power.spendable <= 0:
        raise RuleBroken(f"{rules.symbol}: the allocated capital is spent")
    quantity = rules.quantity(buying_power.spendable / price, price, market=market)
    basis = f"{wire(buying_power.spendable)} to spend at {wire(price)}, {wire(buying_power.owned)} owned"
    return Sized("entry", "BUY", quantity, None if market else price, basis=basis)


def exit_order(
    price: Decimal, buying_power: BuyingPower, rules: SymbolRules, *, market: bool
) -> Sized | None:
    """The sale of all that the strategy owns; None where that is nothing, or dust that the exchange would not take.

    Args:
        price: the limit; what a MARKET order is valued at.
    """
    quantity = sellable(buying_power.owned, price, rules, market)
    if not quantity:
        return None
    return Sized(
        "exit", "SELL", quantity, None if market else price, basis=of_owned(buying_power.owned, quantity)
    )


def exit_price(
    close: Decimal, last: Decimal | None, step: ExitStep, rules: SymbolRules, settings: TradingSettings
) -> Decimal:
    """The limit of a sale at one of its steps.

    Args:
        close: of the candle that the sale was decided on.
        last: the exchange's last price, where it is known.

    Raises:
        RuleBroken: the symbol takes no such price.
    """
    if step == "close":
        return rules.price("SELL", close * (1 - settings.limit_offset))
    return rules.price("SELL", min(last or close, close) * (1 - settings.exit_cross))


def yearly_volatility(closes: Sequence[Close]) -> Decimal | None:
    """Standard deviation of a symbol's returns per year, from its last thirty days; None where they are too few.

    Args:
        closes: of four-hour candles, oldest first, none of them from before a split.
    """
    sigma = volatility(closes)
    return None if sigma is None else Decimal(repr(sigma * math.sqrt(_CANDLES_PER_YEAR)))


def of_owned(owned: Decimal, quantity: Decimal) -> str:
    """What a sale is made of, and what the exchange would not take of it."""
    return f"{wire(owned)} owned, {wire(owned - quantity)} stays as dust"


def sellable(owned: Decimal, close: Decimal, rules: SymbolRules, market: bool) -> Decimal:
    """What of a position the exchange would take, floored to the step; 0 for dust."""
    if owned <= 0:
        return Decimal(0)
    try:
        return rules.quantity(owned, close, market=market)
    except RuleBroken:
        return Decimal(0)

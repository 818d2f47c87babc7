"""How much to buy or sell: within the allocated capital, within the symbol's rules, in exact decimals."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from eightbells.exchange.rules import RuleBroken, Side, SymbolRules, wire
from eightbells.settings.sections import ExitStep, TradingSettings

Leg = Literal["entry", "exit", "stop", "sellout", "manual"]


@dataclass(frozen=True)
class Means:
    """What a strategy has to work with: what it owns of the symbol, and what it may still spend on it (quote)."""

    owned: Decimal
    spendable: Decimal


@dataclass(frozen=True)
class Sized:
    """An order that the symbol's rules accept. `price` is None for a MARKET order; `basis` says what it is made of."""

    leg: Leg
    side: Side
    quantity: Decimal
    price: Decimal | None
    stop_price: Decimal | None = None
    basis: str = ""

    @property
    def type(self) -> str:
        if self.stop_price is not None:
            return "STOP_LOSS" if self.price is None else "STOP_LOSS_LIMIT"
        return "MARKET" if self.price is None else "LIMIT"


def entry_order(
    close: Decimal, means: Means, rules: SymbolRules, *, market: bool, offset: Decimal = Decimal(0)
) -> Sized | None:
    """The purchase that takes the strategy into the symbol; None where it is there already.

    Args:
        close: what the purchase is valued at.
        market: MARKET instead of LIMIT.
        offset: how far a limit price goes towards the other side of the book, as a share of the close.

    Raises:
        RuleBroken: no order is acceptable.
    """
    if sellable(means.owned, close, rules, market):
        return None
    price = rules.price("BUY", close * (1 + offset))
    if means.spendable <= 0:
        raise RuleBroken(f"{rules.symbol}: the allocated capital is spent")
    quantity = rules.quantity(means.spendable / price, price, market=market)
    basis = f"{wire(means.spendable)} to spend at {wire(price)}, {wire(means.owned)} owned"
    return Sized("entry", "BUY", quantity, None if market else price, basis=basis)


def exit_order(price: Decimal, means: Means, rules: SymbolRules, *, market: bool) -> Sized | None:
    """The sale of all that the strategy owns; None where that is nothing, or dust that the exchange would not take.

    Args:
        price: the limit; what a MARKET order is valued at.
    """
    quantity = sellable(means.owned, price, rules, market)
    if not quantity:
        return None
    return Sized("exit", "SELL", quantity, None if market else price, basis=of_owned(means.owned, quantity))


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

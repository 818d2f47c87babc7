"""How much to buy or sell: within the allocated capital, within the symbol's rules, in exact decimals."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

from eightbells.exchange.rules import RuleBroken, Side, SymbolRules, wire

if TYPE_CHECKING:  # status and others that only look at orders need no pandas
    from eightbells.strategies.evaluation import Decision

Leg = Literal["entry", "exit", "stop", "sellout"]


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
            return "STOP_LOSS_LIMIT"
        return "MARKET" if self.price is None else "LIMIT"


def size(
    decision: Decision, means: Means, rules: SymbolRules, *, market: bool, offset: Decimal
) -> Sized | None:
    """The order that takes the strategy from what it owns to what it wants, or None where it is there already.

    Args:
        market: MARKET instead of LIMIT; the candle's close then only serves to size it.
        offset: how far a limit price goes towards the other side of the book, as a share of the close.

    Raises:
        RuleBroken: an order is called for and no acceptable one exists.
    """
    if decision.target == "long":
        return _entry(decision.price, means, rules, market, offset)
    return _exit(decision.price, means, rules, market, offset)


def _entry(close: Decimal, means: Means, rules: SymbolRules, market: bool, offset: Decimal) -> Sized | None:
    if sellable(means.owned, close, rules, market):
        return None
    price = rules.price("BUY", close * (1 + offset))
    if means.spendable <= 0:
        raise RuleBroken(f"{rules.symbol}: the allocated capital is spent")
    quantity = rules.quantity(means.spendable / price, price, market=market)
    basis = f"{wire(means.spendable)} to spend at {wire(price)}, {wire(means.owned)} owned"
    return Sized("entry", "BUY", quantity, None if market else price, basis=basis)


def _exit(close: Decimal, means: Means, rules: SymbolRules, market: bool, offset: Decimal) -> Sized | None:
    quantity = sellable(means.owned, close, rules, market)
    if not quantity:  # flat, or dust that the exchange would not take
        return None
    price = rules.price("SELL", close * (1 - offset))
    return Sized("exit", "SELL", quantity, None if market else price, basis=of_owned(means.owned, quantity))


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

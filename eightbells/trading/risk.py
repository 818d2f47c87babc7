"""Limits on what may be ordered: pure, each refusal a sentence with the figures."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from eightbells.exchange.rules import wire
from eightbells.settings import RiskSettings

_ZERO = Decimal(0)


@dataclass
class Exposure:
    """What is held and ordered so far, valued in the quote asset; grows as a cycle's orders are planned."""

    by_symbol: dict[str, Decimal] = field(default_factory=dict)
    loss_today: Decimal = _ZERO  # how far equity is below the day's first, 0 or more
    equity: Decimal = _ZERO
    orders: int = 0

    @property
    def total(self) -> Decimal:
        return sum(self.by_symbol.values(), _ZERO)

    def add(self, symbol: str, notional: Decimal) -> None:
        self.by_symbol[symbol] = self.by_symbol.get(symbol, _ZERO) + notional
        self.orders += 1


@dataclass(frozen=True)
class Proposal:
    """An order as it would go out; `price` is what it is valued at, `last` the exchange's last price if known."""

    symbol: str
    side: str
    quantity: Decimal
    price: Decimal
    last: Decimal | None


def objection(proposal: Proposal, exposure: Exposure, limits: RiskSettings) -> str | None:
    """Why the order is not allowed, or None. A limit of 0 is no limit. A sale reduces risk: it is always allowed."""
    if proposal.side == "SELL":
        return None
    if limits.max_orders_per_cycle and exposure.orders >= limits.max_orders_per_cycle:
        return f"{exposure.orders} orders in this cycle already, {limits.max_orders_per_cycle} is the most"
    if limits.price_collar and proposal.last is None:
        return "the exchange's last price is not known, so the price collar cannot be kept"
    if limits.price_collar and proposal.last:
        away = abs(proposal.price - proposal.last) / proposal.last
        if away > limits.price_collar:
            return (
                f"price {wire(proposal.price)} is {away:.2%} from the last price {wire(proposal.last)}, "
                f"{limits.price_collar:.2%} is the most"
            )
    notional = proposal.quantity * proposal.price
    held = exposure.by_symbol.get(proposal.symbol, _ZERO)
    bounds = (
        ("the order", notional, limits.max_order),
        (f"exposure to {proposal.symbol}", held + notional, limits.max_symbol_exposure),
        ("exposure in all", exposure.total + notional, limits.max_exposure),
    )
    for what, value, most in bounds:
        if most and value > most:
            return f"{what} would be {wire(value)}, {wire(most)} is the most"
    if limits.daily_loss and exposure.loss_today >= limits.daily_loss:
        return f"{wire(exposure.loss_today)} lost today, nothing is bought after {wire(limits.daily_loss)}"
    return None

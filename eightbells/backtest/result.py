"""What came of a backtest: orders with their fills, trades from entry to exit, equity, and what was refused."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from eightbells.trading.outbox import Order

Liquidity = Literal["maker", "taker"]


@dataclass(frozen=True)
class Filled:
    """One fill. `fee` is in the quote asset, `base_fee` what of the coins was taken for it."""

    order: Order
    at_ms: int
    price: Decimal
    quantity: Decimal
    quote: Decimal
    fee: Decimal
    base_fee: Decimal
    liquidity: Liquidity


@dataclass(frozen=True)
class Trade:
    """From the purchase of a symbol to its sale, or to the last candle where it is still held.

    Args:
        cost: what was paid, fees included.
        proceeds: what it brought, less fees; of what is still held, its value at the last close.
        leg: what sold it: exit, stop, target, or `open`.
    """

    strategy: str
    symbol: str
    opened_ms: int
    closed_ms: int
    quantity: Decimal
    entry_price: Decimal
    exit_price: Decimal
    cost: Decimal
    proceeds: Decimal
    fees: Decimal
    leg: str
    reason_in: str
    reason_out: str

    @property
    def profit(self) -> Decimal:
        return self.proceeds - self.cost

    @property
    def share(self) -> float:
        """The profit as a share of what was paid."""
        return float(self.profit / self.cost) if self.cost else 0.0


@dataclass
class Result:
    """A backtest. Money in the quote asset; `times` are open times (ms) of candles, `equity` is at their closes.

    Args:
        held: the value of what is held at each close.
        booked: the equity that the cycle of a candle notes, by open time: at its close, once its orders have arrived.
        benchmark: equity of who buys all symbols at the first open and keeps them.
        refused: how often what was refused, by strategy, symbol, stage and reason.
    """

    asset: str
    capital: Decimal
    times: list[int] = field(default_factory=list)
    equity: list[Decimal] = field(default_factory=list)
    held: list[Decimal] = field(default_factory=list)
    booked: dict[int, Decimal] = field(default_factory=dict)
    benchmark: list[float] = field(default_factory=list)
    orders: dict[str, Order] = field(default_factory=dict)
    fills: list[Filled] = field(default_factory=list)
    trades: list[Trade] = field(default_factory=list)
    profits: dict[tuple[str, str], Decimal] = field(default_factory=dict)
    refused: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    @property
    def fees(self) -> Decimal:
        return sum((fill.fee for fill in self.fills), Decimal(0))

    @property
    def traded(self) -> Decimal:
        """What was bought and sold, in all."""
        return sum((fill.quote for fill in self.fills), Decimal(0))

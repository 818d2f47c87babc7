"""The book of a backtest: what each strategy wants, owns and has out on each symbol, and every order by its id."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal

from eightbells.backtest.history import History
from eightbells.backtest.result import Filled, Result
from eightbells.backtest.targets import Targets
from eightbells.candles import grid
from eightbells.settings import Settings, StrategySettings
from eightbells.trading import ledger, outbox
from eightbells.trading.holdings import Origin
from eightbells.trading.outbox import Order
from eightbells.trading.sizing import Sized
from eightbells.trading.states import State

ZERO = Decimal(0)


@dataclass
class Place:
    """A strategy on a symbol: what it wants, owns and has out. `index` is that of the candle last seen, -1 before any.

    Args:
        fees: those that were taken in a third asset, in the quote asset.
        tried: the order that was not filled since the strategy was last flat, for `unfilled = "cancel"`.
    """

    entry: StrategySettings
    history: History
    targets: Targets
    index: int = -1
    held: ledger.Holding = field(default_factory=ledger.Holding)
    flow: Decimal = ZERO
    fees: Decimal = ZERO
    buy: Order | None = None
    sale: Order | None = None
    origin: Origin | None = None
    exit: Origin | None = None
    steps: int = 0
    stopped_ms: int | None = None
    flat_ms: int | None = None
    tried: str | None = None
    attempts: dict[tuple[int, str], int] = field(default_factory=dict)
    entries: list[Filled] = field(default_factory=list)
    exits: list[Filled] = field(default_factory=list)

    @property
    def symbol(self) -> str:
        return self.history.symbol

    @property
    def close(self) -> Decimal:
        return self.history.column("close")[self.index] if self.index >= 0 else ZERO

    @property
    def next_open(self) -> Decimal:
        """The last price when an order arrives: the next candle's open; where there is none, this one's close."""
        following = self.index + 1
        return self.history.arrival(following) if following < len(self.history.opens) else self.close

    @property
    def gain(self) -> Decimal:
        """What it took in, less what it paid, plus what it holds at the last close; net of all fees."""
        return self.flow - self.fees + self.held.quantity * self.close


@dataclass
class Book:
    """All places of a backtest, its orders, and what came of them.

    Args:
        stops: when which strategy's stop has sold which symbol.
        peak: the highest equity so far.
        day: number of the UTC day and its first equity.
    """

    settings: Settings
    places: list[Place]
    result: Result
    by_symbol: dict[str, list[Place]] = field(default_factory=dict)
    stops: list[tuple[int, str, str]] = field(default_factory=list)
    peak: Decimal = ZERO
    day: tuple[int, Decimal] = (-1, ZERO)

    def __post_init__(self) -> None:
        self.peak = self.result.capital
        for place in self.places:
            self.by_symbol.setdefault(place.symbol, []).append(place)

    def out(self, place: Place, sized: Sized, origin: Origin, planned_ms: int) -> Order:
        """Put an order out, under the id that the cycle would give it."""
        version = place.targets.strategy.version
        key = (origin.open_ms, sized.leg)
        attempt = place.attempts[key] = place.attempts.get(key, 0) + 1
        identity = outbox.client_order_id(
            self.settings.account,
            place.entry.name,
            version,
            place.symbol,
            origin.open_ms,
            sized.leg,
            attempt,
        )
        order = Order(
            len(self.result.orders) + 1,
            origin.signal,
            sized.leg,
            attempt,
            self.settings.account,
            place.entry.name,
            place.symbol,
            grid.to_time(origin.open_ms),
            sized.side,
            sized.type,
            "GTC" if sized.price is not None else None,
            sized.quantity,
            sized.price,
            sized.stop_price,
            identity,
            State.OPEN,
            None,
            None,
            None,
            ZERO,
            ZERO,
            grid.to_time(planned_ms),
            None,
            False,
            None,
            None,
            False,
            None,
        )
        self.result.orders[identity] = order
        if sized.side == "BUY":
            place.buy = order
        else:
            place.sale = order
        return order

    def cancel(self, place: Place, order: Order) -> None:
        self.result.orders[order.client_order_id] = replace(order, state=State.CANCELED)
        if place.buy is order:
            place.buy, place.tried = None, order.client_order_id
        if place.sale is order:
            place.sale = place.exit = None

    def refuse(self, place: Place, stage: str, reason: str) -> None:
        self.result.refused[place.entry.name, place.symbol, stage, reason] += 1

    def value(self, slot: int) -> None:
        """Note the equity at the close of a candle."""
        result = self.result
        held = sum((it.held.quantity * it.close for it in self.places if it.held.quantity), ZERO)
        equity = result.capital + held + sum((it.flow - it.fees for it in self.places), ZERO)
        result.times.append(slot)
        result.held.append(held)
        result.equity.append(equity)
        day = slot // 86_400_000
        if day != self.day[0]:
            self.day = (day, equity)


def of_strategy(places: Iterable[Place], entry: StrategySettings) -> list[Place]:
    return [place for place in places if place.entry is entry]

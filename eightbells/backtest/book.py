"""The book of a backtest: what each strategy wants, owns and has out on each symbol, and every order by its id."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal

import numpy as np

from eightbells.backtest.history import History
from eightbells.backtest.result import Filled, Result
from eightbells.backtest.targets import NOTHING, Wishes
from eightbells.candles import grid
from eightbells.settings import Settings, StrategySettings
from eightbells.trading import ledger, outbox
from eightbells.trading.holdings import Origin
from eightbells.trading.outbox import Order
from eightbells.trading.sizing import Sized
from eightbells.trading.states import State
from eightbells.universe.walk import Timeline

ZERO = Decimal(0)
_DAY_MS = 86_400_000


@dataclass
class Place:
    """A strategy on a symbol: what it wants, owns and has out. `index` is that of the candle last seen, -1 before any.

    Args:
        fees: those that were taken in a third asset, in the quote asset.
        companion: the limit order that lies in one list with the stop `sale`.
        waiting: ids of orders that were sent into a pause: they arrive in the next candle.
        signal: the newest decision, and `wants` its target.
        decided: whether that decision has its order; `steps` counts its exits, `refused` says that one was.
        stop: the price that the newest decision to be long has set, and `target` that of its take_profit.
        called: the decision of the purchase that is out, and `origin` that of the newest one that was filled.
        bought: how many purchases the position is made of; `sold`: how many sales of a part came after them.
        opened_ms: the candle of its first purchase, and `highest` the highest price of the candles since.
        extreme: the highest price since the exchange follows it with a trailing stop.
        stopped: when its stop or target has last sold, and which of them.
        tried: the order that was not filled since the strategy was last flat, for `unfilled = "cancel"`.
        guarded: what the guardian has last looked at, and found in order.
        members: who is a member of the universe when, where that is what the strategy trades.
        sells_left: whether what is held of a symbol that has left is sold (universe.sell_left).
    """

    entry: StrategySettings
    history: History
    targets: Wishes
    index: int = -1
    held: ledger.Holding = field(default_factory=ledger.Holding)
    flow: Decimal = ZERO
    fees: Decimal = ZERO
    buy: Order | None = None
    sale: Order | None = None
    companion: Order | None = None
    waiting: set[str] = field(default_factory=set)
    signal: Origin | None = None
    wants: np.int8 = NOTHING
    decided: bool = True
    steps: int = 0
    refused: bool = False
    stop: Decimal | None = None
    target: Decimal | None = None
    called: Origin | None = None
    origin: Origin | None = None
    bought: int = 0
    sold: int = 0
    opened_ms: int | None = None
    highest: Decimal = ZERO
    extreme: Decimal = ZERO
    stopped: tuple[int, str] | None = None
    flat_ms: int | None = None
    tried: str | None = None
    guarded: object = None
    attempts: dict[tuple[int, str], int] = field(default_factory=dict)
    entries: list[Filled] = field(default_factory=list)
    exits: list[Filled] = field(default_factory=list)
    members: Timeline | None = None
    sells_left: bool = False

    @property
    def symbol(self) -> str:
        return self.history.symbol

    def is_traded(self, slot: int) -> bool:
        """Whether the strategy is asked at a candle's close: the symbol is a member, or there is no rule."""
        return self.members is None or self.members.holds(self.symbol, grid.closes_at(slot))

    def has_left(self, at_ms: int) -> bool:
        """Whether what is held is to be sold since the symbol is no member at a time."""
        return self.sells_left and self.members is not None and not self.members.holds(self.symbol, at_ms)

    @property
    def close(self) -> Decimal:
        return self.history.column("close")[self.index] if self.index >= 0 else ZERO

    @property
    def next_open(self) -> Decimal:
        """The last price when an order arrives: the next candle's open; where there is none, this one's close."""
        following = self.index + 1
        return self.history.arrival(following) if following < len(self.history.opens) else self.close

    def trades_at(self, slot: int) -> bool:
        """Whether its present or its next candle opens at a time."""
        opens = self.history.opens
        return any(0 <= at < len(opens) and int(opens[at]) == slot for at in (self.index, self.index + 1))

    def has_dust(self, price: Decimal) -> bool:
        """Whether what it holds is so little at a price that the exchange would take no sale of it."""
        rules, quantity = self.history.rules, self.held.quantity
        if quantity < rules.lot.least:
            return True
        return rules.min_applies_to_market and quantity * price * 2 < rules.min_notional

    @property
    def gain(self) -> Decimal:
        """What it took in, less what it paid, plus what it holds at the last close; net of all fees."""
        return self.flow - self.fees + self.held.quantity * self.close


@dataclass
class Book:
    """All places of a backtest, its orders, and what came of them.

    Args:
        stops: when which strategy's stop has sold which symbol.
        peak: the highest equity of a cycle so far.
        day: number of the UTC day and the equity of its first cycle.
        both: in how many candles a stop and a target were reached.
    """

    settings: Settings
    places: list[Place]
    result: Result
    by_symbol: dict[str, list[Place]] = field(default_factory=dict)
    stops: list[tuple[int, str, str]] = field(default_factory=list)
    peak: Decimal | None = None
    day: tuple[int, Decimal] = (-1, ZERO)
    both: int = 0

    def __post_init__(self) -> None:
        for place in self.places:
            self.by_symbol.setdefault(place.symbol, []).append(place)

    def out(self, place: Place, sized: Sized, origin: Origin, planned_ms: int) -> Order:
        """Put an order out, under the id that the cycle would give it; what lies in one list with it goes along."""
        order = self._order(place, sized, origin, planned_ms)
        if sized.side == "BUY":
            place.buy, place.called = order, origin
            return order
        place.sale, place.extreme = order, place.next_open
        if sized.above is not None:
            self.beside(place, sized.above, place.signal if sized.above.leg == "exit" else origin, planned_ms)
        return order

    def beside(self, place: Place, limit: Sized, origin: Origin | None, planned_ms: int) -> None:
        """Put a limit order out in one list with the stop that is."""
        assert origin is not None
        assert place.sale is not None
        order = self._order(place, limit, origin, planned_ms)
        place.companion = replace(order, listed_with=place.sale.id, paired=True)
        self.result.orders[order.client_order_id] = place.companion

    def _order(self, place: Place, sized: Sized, origin: Origin, planned_ms: int) -> Order:
        version = place.targets.strategy.version
        key = (origin.open_ms, sized.leg)
        attempt = place.attempts[key] = place.attempts.get(key, 0) + 1
        account, name = self.settings.account, place.entry.name
        identity = outbox.client_order_id(
            account, name, version, place.symbol, origin.open_ms, sized.leg, attempt
        )
        order = Order(
            len(self.result.orders) + 1,
            origin.signal,
            sized.leg,
            attempt,
            account,
            name,
            place.symbol,
            grid.to_time(origin.open_ms),
            sized.side,
            sized.type,
            "GTC" if sized.type in ("LIMIT", "STOP_LOSS_LIMIT") else None,
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
            sized.trailing_delta,
        )
        self.result.orders[identity] = order
        place.steps += sized.leg == "exit"
        return order

    def cancel(self, place: Place, order: Order, state: State = State.CANCELED) -> None:
        """Take an order off, and what lies in one list with it."""
        self.result.orders[order.client_order_id] = replace(order, state=state)
        if place.buy is order:
            place.buy, place.tried = None, order.client_order_id
        if place.companion is not None and order in (place.sale, place.companion):
            other = place.sale if order is place.companion else place.companion
            assert other is not None
            self.result.orders[other.client_order_id] = replace(other, state=state)
            place.sale = place.companion = None
        if place.sale is order:
            place.sale = None

    def refuse(self, place: Place, stage: str, reason: str) -> None:
        self.result.refused[place.entry.name, place.symbol, stage, reason] += 1

    @property
    def equity(self) -> Decimal:
        """Capital, plus what was taken in, less what was paid, plus what is held at the last closes."""
        return self.result.capital + sum((it.gain for it in self.places), ZERO)

    def value(self, slot: int) -> None:
        """Note the equity at the close of a candle."""
        held = sum((it.held.quantity * it.close for it in self.places if it.held.quantity), ZERO)
        self.result.times.append(slot)
        self.result.held.append(held)
        self.result.equity.append(self.equity)

    def close(self, slot: int) -> None:
        """Note the equity of a candle's cycle: at the candle's close, once the cycle's orders have arrived."""
        equity = self.result.booked[slot] = self.equity
        day = slot // _DAY_MS
        if day != self.day[0]:
            self.day = (day, equity)
        self.peak = equity if self.peak is None else max(self.peak, equity)

    def lost_today(self, slot: int, equity: Decimal) -> Decimal:
        """How far the equity is below that of the first cycle of the candle's UTC day."""
        return max(ZERO, self.day[1] - equity) if self.day[0] == slot // _DAY_MS else ZERO


def of_strategy(places: Iterable[Place], entry: StrategySettings) -> list[Place]:
    return [place for place in places if place.entry is entry]

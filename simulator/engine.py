"""The matching engine: takes orders, fills them along the price path, and remembers everything.

The book has no depth of its own: whatever the price reaches is filled, in as many parts as the settings say.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterator
from decimal import ROUND_DOWN, ROUND_UP, Decimal
from hashlib import sha256

from simulator.accounts import Account, Accounts, money
from simulator.candles import SCALE, as_decimal
from simulator.errors import Refusal, insufficient_balance, rejected
from simulator.levels import follow_extreme, marketable, next_touch, triggered
from simulator.lists import OrderList, OrderLists
from simulator.market import Market
from simulator.orders import STOPS, Fill, Order, Ticket
from simulator.pegs import trigger
from simulator.prevention import Prevention
from simulator.reference import EXCEEDED, exceeds
from simulator.settings import Settings
from simulator.settlement import Settlement

Listener = Callable[[Order, str, Fill | None, int], None]


class Engine:
    """All orders of all accounts."""

    def __init__(self, market: Market, accounts: Accounts, settings: Settings):
        self.market = market
        self.accounts = accounts
        self.settings = settings
        self.listeners: list[Listener] = []
        self.settlement = Settlement(market)
        self.lists = OrderLists(self)
        self.prevention = Prevention(self, self._fill)
        self.clear()

    def clear(self) -> None:
        """Forget every order and fill."""
        self.lists.clear()
        self.prevention.clear()
        self.orders: dict[int, Order] = {}
        self.fills: list[Fill] = []
        self.fills_of: defaultdict[int, list[Fill]] = defaultdict(list)
        self.open_of: defaultdict[str, dict[int, Order]] = defaultdict(dict)
        self.changed: set[int] = set()
        self._by_client_id: dict[tuple[str, str, str], int] = {}
        self._executions = 0
        self._agenda: list[tuple[int, int, bool]] = []
        self._planned: dict[int, int] = {}

    def restore(self, orders: list[Order], fills: list[Fill], lists: list[OrderList]) -> None:
        """Take up orders and fills from an earlier run."""
        self.clear()
        self.lists.restore(lists)
        self.fills = fills
        for fill in fills:
            self.fills_of[fill.order_id].append(fill)
        for order in orders:
            self._register(order)
            self.prevention.recall(order)
            if order.status == "PENDING_NEW":
                continue
            if order.open:
                self._plan(order, max(order.not_before, order.updated))
            else:
                del self.open_of[order.account][order.id]
        self._executions = max((int(it[0]) for order in orders for it in order.amendments), default=0)
        self.changed.clear()

    def new_client_id(self) -> str:
        """An id for an order whose client gave none."""
        return sha256(f"order {len(self.orders) + 1}".encode()).hexdigest()[:22]

    def open_orders(self, account: Account, symbol: str | None = None) -> list[Order]:
        return [o for o in self.open_of[account.name].values() if symbol in (None, o.symbol)]

    def find(
        self, account: Account, symbol: str, order_id: int | None, client_id: str | None
    ) -> Order | None:
        """An order by its number, or the latest one with a client order id."""
        if order_id is None:
            order_id = self._by_client_id.get((account.name, symbol, client_id or ""))
        order = self.orders.get(order_id or 0)
        if order is None or order.account != account.name or order.symbol != symbol:
            return None
        return None if client_id is not None and order.client_id != client_id else order

    # Placing and cancelling

    def place(self, account: Account, ticket: Ticket, now: int) -> Order:
        """Take a new order and fill what can be filled at once; -2010 when the engine rejects it."""
        self.check_acceptable(account, ticket, now)
        order = self.make(account, ticket, now)
        self.settlement.reserve(account, order)
        self.register(order, now)
        self.start(account, order, now)
        return order

    def register(self, order: Order, now: int) -> None:
        """Take up an order whose cost is set aside."""
        self._register(order)
        self._tell(order, "NEW", None, now)

    def activate(self, account: Account, order: Order, now: int) -> None:
        """Start an order that waited for another one to be filled."""
        if order.type not in STOPS:
            order.working, order.working_time = True, now
        order.extreme, order.extreme_at = self.market.price(order.symbol, now) or 0, now
        if order.trailing_time >= 0:
            order.trailing_time = now
        order.not_before = now
        self._touch(order, now)
        self._tell(order, "NEW", None, now)
        price = self.market.price(order.symbol, now)
        if order.type == "LIMIT_MAKER" and price is not None and marketable(order, price):
            self.finish(account, order, "EXPIRED", now, "REJECTED")
        else:
            self.start(account, order, now)

    def start(self, account: Account, order: Order, now: int) -> None:
        """Fill what can be filled of an order at once, and look out for the rest."""
        if order.working and order.open:
            self._arrive(account, order, now)
        if order.open:
            self._plan(order, order.not_before)

    def cancel(self, account: Account, order: Order, cancel_id: str | None, now: int) -> None:
        """Take an open order off the book; -2011 when it is not open."""
        if not order.open:
            raise Refusal(-2011, "Unknown order sent.")
        order.cancel_id = cancel_id or self.new_client_id()[::-1]
        self.finish(account, order, "CANCELED", now)

    def amend(self, account: Account, order: Order, quantity: Decimal, name: str, now: int) -> int:
        """Make an open order smaller, and with it the other one of its pair; returns the number of the execution."""
        listed = self.lists.by_id.get(order.list_id)
        pair = listed.pair if listed is not None and order.id in listed.pair else [order.id]
        self._executions += 1
        for number in pair:
            other = self.orders[number]
            if not other.open:
                continue
            before, old = other.client_id, other.qty
            if other is order:
                other.client_id = name
                self._by_client_id[account.name, other.symbol, name] = other.id
            other.qty = quantity
            self.settlement.shrink(account, other, now)
            amendment = (self._executions, before, other.client_id, money(old), money(quantity), now)
            other.amendments = (*other.amendments, amendment)
            self._touch(other, now)
            self._tell(other, "REPLACED", None, now)
        return self._executions

    def expire(self, symbol: str | None, numbers: set[int], now: int) -> list[int]:
        """End open orders as the exchange itself does, of a symbol or by their numbers; returns which were ended."""
        open_orders = [order for orders in self.open_of.values() for order in orders.values()]
        chosen = [order for order in open_orders if order.symbol == symbol or order.id in numbers]
        for order in chosen:
            if order.open:  # another one of its list may have ended it
                owner = self.accounts.named(order.account)
                self.finish(owner, order, "EXPIRED", now, "EXCHANGE_CANCELED")
        return [order.id for order in chosen]

    def check_acceptable(
        self, account: Account, ticket: Ticket, now: int, *, is_listed: bool = False
    ) -> None:
        """Whether the engine takes a ticket; the prices of a list are judged together elsewhere."""
        if ticket.rules.status != "TRADING":
            raise rejected("Market is closed.")
        same = self.find(account, ticket.rules.symbol, None, ticket.client_id)
        if same is not None and same.open:
            raise rejected("Duplicate order sent.")
        price = self.market.price(ticket.rules.symbol, now)
        if price is None:
            if ticket.quote_quantity is not None:
                raise rejected("Order book liquidity is less than symbol minimum quantity.")
            return
        if is_listed:
            return
        if ticket.type == "LIMIT_MAKER" and marketable(ticket, price):
            raise rejected("Order would immediately match and take.")
        if ticket.stop_price is not None and ticket.trailing_delta is None and triggered(ticket, price):
            raise rejected("Order would trigger immediately.")
        symbol, own = ticket.rules.symbol, self.prevention
        if ticket.type == "LIMIT_MAKER" and own.crosses(account, symbol, ticket.buys, ticket.price):
            raise rejected("Order would immediately match and take.")

    def make(self, account: Account, ticket: Ticket, now: int, list_id: int = -1) -> Order:
        """The order of a ticket, which is not taken up yet."""
        price = self.market.price(ticket.rules.symbol, now)
        quantity = ticket.quantity
        if quantity is None:
            assert ticket.quote_quantity is not None
            assert price is not None
            quantity = self._lots(ticket.rules.symbol, ticket.quote_quantity / as_decimal(price))
            if quantity == 0:
                raise rejected("Order book liquidity is less than LOT_SIZE filter minimum quantity.")
        pays = ticket.type == "MARKET" and ticket.buys and price is not None
        if pays and account.free(ticket.rules.quote) < quantity * as_decimal(price or 0):
            raise insufficient_balance()
        order = Order.of(ticket, len(self.orders) + 1, account.name, quantity, now)
        order.extreme, order.list_id = price or 0, list_id
        return order

    def _register(self, order: Order) -> None:
        self.orders[order.id] = order
        self.open_of[order.account][order.id] = order
        self._by_client_id[order.account, order.symbol, order.client_id] = order.id
        self.changed.add(order.id)

    # Filling

    def next_fill(self, until: int) -> int:
        """Carry out what happens to open orders up to a time, or to the first fill; returns where that ended."""
        filled = len(self.fills)
        while self._agenda and self._agenda[0][0] <= until:
            time = self._agenda[0][0]
            self.catch_up(time)
            if len(self.fills) > filled:
                return time
        return until

    def catch_up(self, now: int) -> None:
        """Carry out, in order of time, all that happened to open orders up to now."""
        while self._agenda and self._agenda[0][0] <= now:
            time, number, reached = heapq.heappop(self._agenda)
            order = self.orders.get(number)
            if order is None or not order.open or self._planned.get(number) != time:
                continue
            if order.trailing_time >= 0 and not order.working:
                self._follow(order, time)
            if reached:
                self._reach(self.accounts.named(order.account), order, time)
            if order.open:
                self._plan(order, max(time, order.not_before))

    def _reach(self, account: Account, order: Order, time: int) -> None:
        """The price has come to an order's level: a stop order starts working, a resting one is filled."""
        order.not_before = time
        if order.working:
            self._fill(account, order, self._part(order), order.price, time, maker=True)
            order.not_before = time + max(self.settings.fill_gap_ms, 1)
            return
        if order.trailing_delta is not None and order.trailing_time < 0:  # it begins to follow the price
            order.trailing_time = order.extreme_at = order.updated = time
            order.extreme = self.market.price(order.symbol, time) or int(order.stop_price * SCALE)
            self.changed.add(order.id)
            return
        self.lists.starts(account, order, time)
        order.working, order.working_time, order.updated = True, time, time
        if not trigger(self, account, order, time):
            self.finish(account, order, "EXPIRED", time, "REJECTED")
            return
        self._tell(order, "NEW", None, time)
        self._arrive(account, order, time)

    def _arrive(self, account: Account, order: Order, now: int) -> None:
        """Fill an order against the market as it is: as far as it can be, then rest or expire."""
        self.prevention.meet(account, order, now)
        if not order.open:
            return
        price = self.market.price(order.symbol, now)
        available = self._available(order)
        crosses = price is not None and (not order.price or marketable(order, price))
        if crosses and price is not None and (order.time_in_force != "FOK" or available == order.qty):
            self._take(account, order, price, available, now)
        if order.open and (order.time_in_force != "GTC" or not order.price):
            self.finish(account, order, "EXPIRED", now, _unfilled(order))
        order.not_before = now + (max(self.settings.fill_gap_ms, 1) if crosses else 0)

    def _take(self, account: Account, order: Order, price: int, available: Decimal, now: int) -> None:
        """Take liquidity in parts, each further one worse by the slippage, none worse than the limit."""
        worse = self.settings.slippage_ticks * self.market.tick(order.symbol) * (1 if order.buys else -1)
        left = available
        while left > 0 and order.open and price > 0:
            if order.price and not marketable(order, price):
                return
            if exceeds(self.market, order, price, now):
                self.finish(account, order, "EXPIRED", now, EXCEEDED)
                return
            part = min(left, self._part(order))
            if not self.settlement.affordable(account, order, part, as_decimal(price)):
                return
            self._fill(account, order, part, as_decimal(price), now, maker=False)
            left -= part
            price += worse

    def _fill(
        self, account: Account, order: Order, qty: Decimal, price: Decimal, time: int, maker: bool
    ) -> None:
        self.lists.starts(account, order, time)
        fill = self.settlement.settle(account, order, len(self.fills) + 1, qty, price, time, maker)
        self.fills.append(fill)
        self.fills_of[order.id].append(fill)
        order.status = "FILLED" if order.remaining == 0 else "PARTIALLY_FILLED"
        self._touch(order, time)
        self._tell(order, "TRADE", fill, time)
        if not order.open:
            self.lists.ended(account, order, time)

    def finish(self, account: Account, order: Order, status: str, time: int, reason: str = "") -> None:
        """End an open order without a further fill; `reason` is why it expires."""
        self.settlement.release(account, order, time)
        order.status, order.expiry_reason = status, reason
        self._touch(order, time)
        self._tell(order, "TRADE_PREVENTION" if status == "EXPIRED_IN_MATCH" else status, None, time)
        self.lists.ended(account, order, time)

    def prevented(self, account: Account, order: Order, time: int) -> None:
        """Tell of an order, a part of which was kept from trading; it ends where nothing remains."""
        if order.remaining == 0:
            self.finish(account, order, "EXPIRED_IN_MATCH", time)
            return
        self.settlement.shrink(account, order, time)
        self._touch(order, time)
        self._tell(order, "TRADE_PREVENTION", None, time)

    def _touch(self, order: Order, time: int) -> None:
        order.updated = time
        self.changed.add(order.id)
        if not order.open:
            self.open_of[order.account].pop(order.id, None)

    def _part(self, order: Order) -> Decimal:
        """How much of an order one trade fills."""
        step = self.market.symbols.rules[order.symbol].number("LOT_SIZE", "stepSize")
        part = order.qty / max(self.settings.fill_parts, 1)
        return min(order.remaining, (part / step).to_integral_value(ROUND_UP) * step if step else part)

    def _available(self, order: Order) -> Decimal:
        if self.settings.taker_fraction >= 1:
            return order.remaining
        return self._lots(order.symbol, order.qty * self.settings.taker_fraction)

    def _lots(self, symbol: str, quantity: Decimal) -> Decimal:
        step = self.market.symbols.rules[symbol].number("LOT_SIZE", "stepSize") or Decimal("0.00000001")
        return (quantity / step).to_integral_value(ROUND_DOWN) * step

    # What comes next

    def _plan(self, order: Order, after: int) -> None:
        """Put on the agenda when the price will reach an order's level, or when to look again."""
        time, known_until = next_touch(self.market, order, after)
        planned = known_until + 1 if time is None else time
        self._planned[order.id] = planned
        heapq.heappush(self._agenda, (planned, order.id, time is not None))

    def look_again(self, symbol: str, now: int) -> None:
        """Plan a symbol's open orders again, because its price is not what was foreseen."""
        for orders in self.open_of.values():
            for order in orders.values():
                if order.symbol == symbol and order.status != "PENDING_NEW":
                    self._plan(order, max(now, order.not_before))

    def follow_extremes(self, symbol: str, now: int) -> None:
        """Note how far trailing stops have come, before the price goes another way than was foreseen."""
        for orders in self.open_of.values():
            for order in orders.values():
                if order.symbol == symbol and order.trailing_time >= 0 and not order.working:
                    self._follow(order, now)

    def _follow(self, order: Order, now: int) -> None:
        follow_extreme(self.market, order, now)
        self.changed.add(order.id)

    def _tell(self, order: Order, execution: str, fill: Fill | None, time: int) -> None:
        for listener in self.listeners:
            listener(order, execution, fill, time)

    def history(self, account: Account, symbol: str) -> Iterator[Order]:
        """An account's orders of a symbol, oldest first."""
        return (o for o in self.orders.values() if o.account == account.name and o.symbol == symbol)


def _unfilled(order: Order) -> str:
    """Why an order expires that may not rest."""
    if not order.price:
        return "INSUFFICIENT_LIQUIDITY"
    return f"UNFILLED_{'IOC_QUANTITY' if order.time_in_force == 'IOC' else 'FOK_ORDER'}_EXPIRED"

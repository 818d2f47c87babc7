"""Order lists: OCO, of which one order ends the other, and OTO, of which the second waits for the first one's fill."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from simulator.accounts import Account
from simulator.candles import as_decimal
from simulator.errors import Refusal, rejected
from simulator.orders import STOPS, Order, Ticket
from simulator.pegs import settle

if TYPE_CHECKING:
    from simulator.engine import Engine

RELATION = "The relationship of the prices for the orders is not correct."


@dataclass(slots=True)
class OrderList:
    """Orders that belong together.

    `pair` are the numbers of the orders of which only one may be executed, `working` the one that the others wait for,
    `chosen` the one of the pair that is being executed.
    """

    id: int
    account: str
    symbol: str
    kind: str
    client_id: str
    time: int
    orders: list[int]
    pair: list[int] = field(default_factory=list)
    working: int = 0
    chosen: int = 0
    done: bool = False

    def view(self, engine: Engine) -> dict[str, Any]:
        """As GET orderList shows it."""
        return {
            "orderListId": self.id,
            "contingencyType": self.kind,
            "listStatusType": "ALL_DONE" if self.done else "EXEC_STARTED",
            "listOrderStatus": "ALL_DONE" if self.done else "EXECUTING",
            "listClientOrderId": self.client_id,
            "transactionTime": self.time,
            "symbol": self.symbol,
            "orders": [
                {"symbol": self.symbol, "orderId": number, "clientOrderId": engine.orders[number].client_id}
                for number in self.orders
            ],
        }


Told = Callable[[OrderList, int], None]


class OrderLists:
    """All order lists of all accounts."""

    def __init__(self, engine: Engine):
        self._engine = engine
        self.listeners: list[Told] = []
        self.clear()

    def clear(self) -> None:
        self.by_id: dict[int, OrderList] = {}
        self.changed: set[int] = set()
        self._by_client_id: dict[tuple[str, str], int] = {}

    def restore(self, lists: list[OrderList]) -> None:
        """Take up lists from an earlier run."""
        self.clear()
        for each in lists:
            self.by_id[each.id] = each
            self._by_client_id[each.account, each.client_id] = each.id

    def find(self, account: Account, number: int | None, client_id: str | None) -> OrderList | None:
        """A list by its number, or the latest one with a client id."""
        if number is None:
            number = self._by_client_id.get((account.name, client_id or ""), -1)
        found = self.by_id.get(number)
        if found is None or found.account != account.name:
            return None
        return None if client_id is not None and found.client_id != client_id else found

    def of(self, account: Account) -> list[OrderList]:
        return [each for each in self.by_id.values() if each.account == account.name]

    def new_client_id(self) -> str:
        """An id for a list whose client gave none."""
        return f"list-{len(self.by_id) + 1}-{self._engine.new_client_id()[:12]}"

    # Placing

    def place(
        self, account: Account, client_id: str, pair: list[Ticket], working: Ticket | None, now: int
    ) -> OrderList:
        """Take a list: the pair at once, or once `working` is filled; nothing is taken where anything is refused."""
        first = working or pair[0]
        self._check_list(account, first, client_id)
        for ticket in [working] if working else pair:
            self._engine.check_acceptable(account, ticket, now, is_listed=working is None)
        if working is None and len(pair) > 1:
            self._check_prices(pair, now)
        number = len(self.by_id)
        self._check_names(account, [*([working] if working else []), *pair])
        listed = OrderList(
            number, account.name, first.rules.symbol, "OTO" if working else "OCO", client_id, now, []
        )
        if working is None:
            orders = self._make(account, pair, number, now)
            self._reserve(account, orders)
        else:
            orders = [self._engine.make(account, working, now, number)]
            self._engine.settlement.reserve(account, orders[0])
            orders += self._make(account, pair, number, now, first=orders[0].id + 1, pending=True)
            listed.working = orders[0].id
        listed.orders = [order.id for order in orders]
        listed.pair = listed.orders[1:] if working else listed.orders
        self.by_id[number] = listed
        self._by_client_id[account.name, client_id] = number
        for order in orders:
            self._engine.register(order, now)
        self._tell(listed, now)
        for order in orders:
            if order.status != "PENDING_NEW":
                self._engine.start(account, order, now)
        return listed

    def _make(
        self,
        account: Account,
        tickets: list[Ticket],
        number: int,
        now: int,
        first: int = 0,
        pending: bool = False,
    ) -> list[Order]:
        orders = [self._engine.make(account, ticket, now, number) for ticket in tickets]
        for at, order in enumerate(orders):
            order.id = (first or orders[0].id) + at
            if pending:
                order.status, order.working, order.working_time = "PENDING_NEW", False, -1
        return orders

    def _check_list(self, account: Account, ticket: Ticket, client_id: str) -> None:
        same = self.find(account, None, client_id)
        if same is not None and not same.done:
            raise rejected("Duplicate order sent.")
        most = ticket.rules.number("MAX_NUM_ORDER_LISTS", "maxNumOrderLists")
        here = sum(not each.done and each.symbol == ticket.rules.symbol for each in self.of(account))
        if most and here >= most:
            raise Refusal(-1013, "Filter failure: MAX_NUM_ORDER_LISTS")

    def _check_names(self, account: Account, tickets: list[Ticket]) -> None:
        names = [ticket.client_id for ticket in tickets]
        if len(set(names)) != len(names):
            raise rejected("Duplicate order sent.")

    def _check_prices(self, pair: list[Ticket], now: int) -> None:
        """The last price lies between the two: the limit on the side of the profit, the stop on that of the loss."""
        price = self._engine.market.price(pair[0].rules.symbol, now)
        if price is None:
            return
        last = as_decimal(price)
        for ticket in pair:
            level = ticket.price if ticket.type == "LIMIT_MAKER" else ticket.stop_price
            if level is None:  # a trailing stop without an activation price
                continue
            above = ticket.buys if ticket.type.startswith("STOP_LOSS") else not ticket.buys
            if level <= last if above else level >= last:
                raise rejected(RELATION)

    def _reserve(self, account: Account, orders: list[Order]) -> None:
        """Set aside what the dearer of the two may cost: only one of them is ever executed."""
        settlement = self._engine.settlement
        needed: list[Decimal] = [settlement.needed(order) for order in orders]
        base, quote = settlement.assets(orders[0])
        account.lock(quote if orders[0].buys else base, max(needed))
        holder = next((order for order in orders if order.type == "LIMIT_MAKER"), orders[0])
        holder.locked = max(needed)

    # What happens to the orders of a list

    def starts(self, account: Account, order: Order, time: int) -> None:
        """One of a pair is about to be executed: the other one expires."""
        listed = self.by_id.get(order.list_id)
        if listed is None or order.id not in listed.pair or listed.chosen:
            return
        listed.chosen = order.id
        for sibling in self._open(listed):
            if sibling.id in listed.pair and sibling is not order:
                self._engine.finish(account, sibling, "EXPIRED", time, "OCO_TRIGGER")
        if not order.locked:
            self._engine.settlement.reserve(account, order)

    def ended(self, account: Account, order: Order, time: int) -> None:
        """An order has come to its end: what waits for it starts, what depends on it ends, and so may the list."""
        listed = self.by_id.get(order.list_id)
        if listed is None or listed.done:
            return
        if order.id == listed.working and order.status == "FILLED":
            self._start_pending(account, listed, time)
        elif order.id == listed.working or not listed.chosen:
            status = "CANCELED" if order.status == "CANCELED" else "EXPIRED"
            waited = "OTO_PHASE_ONE_EXPIRED" if order.id == listed.working else "EXCHANGE_CANCELED"
            for other in self._open(listed):
                other.cancel_id = order.cancel_id
                self._engine.finish(account, other, status, time, waited if status == "EXPIRED" else "")
        if not listed.done and not self._open(listed):
            listed.done, listed.time = True, time
            self._tell(listed, time)

    def _start_pending(self, account: Account, listed: OrderList, time: int) -> None:
        orders = [self._engine.orders[number] for number in listed.pair]
        try:
            for order in orders:
                if order.type not in STOPS and not settle(self._engine.market, order, time):
                    raise rejected("Order book liquidity is less than symbol minimum quantity.")
            self._reserve(account, orders)
        except Refusal:
            listed.chosen = -1
            for order in orders:
                self._engine.finish(account, order, "EXPIRED", time, "REJECTED")
            return
        for order in orders:
            order.status = "NEW"
            self._engine.activate(account, order, time)

    def cancel(self, account: Account, listed: OrderList, cancel_id: str | None, now: int) -> None:
        """Take a list off the book; -2011 where it is over."""
        orders = self._open(listed)
        if not orders:
            raise Refusal(-2011, "Unknown order sent.")
        self._engine.cancel(account, orders[0], cancel_id, now)

    def _open(self, listed: OrderList) -> list[Order]:
        orders = (self._engine.orders.get(number) for number in listed.orders)
        return [order for order in orders if order is not None and order.open]

    def _tell(self, listed: OrderList, time: int) -> None:
        self.changed.add(listed.id)
        for listener in self.listeners:
            listener(listed, time)

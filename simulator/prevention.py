"""Self-trade prevention: what happens when an order would trade with another one of its own account or trade group.

Only accounts' orders rest on the book, so an order that arrives meets those of its own first, best price first, and
then the market. A limit order meets every one that its limit crosses, a market order those that the last price has
reached; with the setting `deep_book` a limit order meets those as well, and no others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from simulator.accounts import ZERO, Account, floor8, money
from simulator.candles import as_decimal
from simulator.orders import Order

if TYPE_CHECKING:
    from simulator.engine import Engine

Trade = Callable[[Account, Order, Decimal, Decimal, int, bool], None]
EXPIRES_TAKER = frozenset({"EXPIRE_TAKER", "EXPIRE_BOTH"})
EXPIRES_MAKER = frozenset({"EXPIRE_MAKER", "EXPIRE_BOTH"})


class Prevention:
    """Keeps orders of one account, or of one trade group, from trading with each other."""

    def __init__(self, engine: Engine, trade: Trade):
        self._engine = engine
        self._trade = trade
        self.clear()

    def clear(self) -> None:
        self._numbers: dict[str, int] = {}

    def recall(self, order: Order) -> None:
        """Take up the matches of an order from an earlier run."""
        for match in order.matches:
            self._numbers[order.symbol] = max(self._numbers.get(order.symbol, 0), int(match[0]) + 1)

    def crosses(self, account: Account, symbol: str, buys: bool, price: Decimal | None) -> bool:
        """Whether a limit price would meet a resting order of the account or its group."""
        return price is not None and bool(self._met(account, symbol, buys, price))

    def meet(self, account: Account, order: Order, now: int) -> None:
        """Let an order that arrives meet those of its own: they trade with mode NONE, else parts of them expire."""
        price = self._engine.market.price(order.symbol, now)
        last = as_decimal(price) if price is not None else None
        limit = last if self._engine.settings.deep_book and last else order.price or last
        if limit is None or (order.stp_mode == "NONE" and order.time_in_force == "FOK"):
            return
        for owner, maker in self._met(account, order.symbol, order.buys, limit):
            if not order.open:
                return
            if maker.open:
                self._match((account, order), (owner, maker), now)

    def _met(self, account: Account, symbol: str, buys: bool, limit: Decimal) -> list[tuple[Account, Order]]:
        """Resting orders of the other side that a price reaches: best price first, then the oldest."""
        found = [
            (owner, order)
            for owner in self._group(account)
            for order in self._engine.open_of[owner.name].values()
            if order.symbol == symbol and order.working and order.buys != buys
            if (order.price <= limit if buys else order.price >= limit)
        ]
        return sorted(found, key=lambda it: (it[1].price if buys else -it[1].price, it[1].id))

    def _group(self, account: Account) -> Iterator[Account]:
        for other in self._engine.accounts:
            if other is account or (account.trade_group >= 0 and other.trade_group == account.trade_group):
                yield other

    def _match(self, taking: tuple[Account, Order], making: tuple[Account, Order], now: int) -> None:
        (account, taker), (owner, maker) = taking, making
        part = min(taker.remaining, maker.remaining)
        mode = taker.stp_mode
        if mode == "NONE":
            self._trade(owner, maker, part, maker.price, now, True)
            self._trade(account, taker, part, maker.price, now, False)
            return
        if mode == "TRANSFER" and maker.stp_mode != "TRANSFER":
            mode = "DECREMENT"
        if mode in ("DECREMENT", "TRANSFER"):
            taken = made = part
        else:
            taken = taker.remaining if mode in EXPIRES_TAKER else ZERO
            made = maker.remaining if mode in EXPIRES_MAKER else ZERO
        number = self._numbers.get(taker.symbol, 0)
        self._numbers[taker.symbol] = number + 1
        quantities = (money(taken) if taken else "", money(made) if made else "")
        group = account.trade_group
        taker.matches = (
            *taker.matches,
            (number, maker.id, mode, money(maker.price), *quantities, now, group),
        )
        prevented = (number, money(part), money(maker.price), money(floor8(part * maker.price)), group)
        for holder, order, other, quantity in ((owner, maker, taker, made), (account, taker, maker, taken)):
            if quantity:
                order.prevented += quantity
                order.prevention = ((*prevented, other.id, money(quantity)),)
                self._engine.prevented(holder, order, now)
        if mode == "TRANSFER" and owner is not account:
            self._transfer(taking, owner, part, floor8(part * maker.price))

    def _transfer(
        self, taking: tuple[Account, Order], owner: Account, quantity: Decimal, cost: Decimal
    ) -> None:
        """Move what the two accounts would have traded, without a trade and without a fee."""
        account, taker = taking
        base, quote = self._engine.settlement.assets(taker)
        buyer, seller = (account, owner) if taker.buys else (owner, account)
        for giver, receiver, asset, amount in (
            (buyer, seller, quote, cost),
            (seller, buyer, base, quantity),
        ):
            giver.take(asset, amount)
            receiver.receive(asset, amount)

    def matches(self, account: Account, symbol: str) -> list[dict[str, Any]]:
        """The account's prevented matches of a symbol as myPreventedMatches shows them, in order."""
        names = {other.name for other in self._group(account)}
        orders = self._engine.orders
        found = [
            _shown(order, orders[int(match[1])], match)
            for order in orders.values()
            if order.matches and order.symbol == symbol and order.account in names
            for match in order.matches
            if account.name in (order.account, orders[int(match[1])].account)
        ]
        return sorted(found, key=lambda it: int(it["preventedMatchId"]))


def _shown(taker: Order, maker: Order, match: tuple[Any, ...]) -> dict[str, Any]:
    number, _, mode, price, taken, made, time, group = match
    return {
        "symbol": taker.symbol,
        "preventedMatchId": number,
        "takerOrderId": taker.id,
        "makerSymbol": maker.symbol,
        "makerOrderId": maker.id,
        "tradeGroupId": group,
        "selfTradePreventionMode": mode,
        "price": price,
        **({"takerPreventedQuantity": taken} if taken else {}),
        **({"makerPreventedQuantity": made} if made else {}),
        "transactTime": time,
    }

"""Orders that follow from decisions of a test's own, and what the books and the exchange say of them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sqlalchemy import Engine

from eightbells.candles import grid
from eightbells.exchange import rules
from eightbells.exchange.rules import SymbolRules
from eightbells.trading import outbox
from eightbells.trading.outbox import Intent, Order
from eightbells.trading.sizing import Sized
from tests import books
from tests.exchange import Simulator
from tests.klines import FIRST, after, rows_of

_numbers = itertools.count(1)
BTC = "BTCUSDT"


@dataclass
class Books:
    """One database that many tests share; each makes decisions under the name of a strategy of its own."""

    engine: Engine
    validation: int
    simulator: Simulator
    strategy: str = field(default_factory=lambda: f"test-{next(_numbers)}")

    def __post_init__(self) -> None:
        entry = self.simulator.ask(f"/api/v3/exchangeInfo?symbol={BTC}")["symbols"][0]
        with self.engine.begin() as connection:
            rules.save(connection, entry, grid.to_time(after(1)))
        self.rules = SymbolRules.from_exchange_info(entry)
        self.price = Decimal(self.simulator.ask(f"/api/v3/ticker/price?symbol={BTC}")["price"])

    def plan(
        self, quantity: str = "0.01", share: str = "0.5", side: str = "BUY", account: str = books.ACCOUNT
    ) -> Order:
        """Plan an order at a share of the price: at a half, a buy rests at the exchange."""
        price = self.rules.price(side, self.price * Decimal(share))  # type: ignore[arg-type]
        leg = "entry" if side == "BUY" else "exit"
        sized = Sized(leg, side, Decimal(quantity), price)  # type: ignore[arg-type]
        name = f"{self.strategy}-{next(_numbers)}"
        with self.engine.begin() as connection:
            evaluation = books.evaluation(connection, self.validation, strategy=name, account=account)
            signal = books.signal(connection, evaluation)
            identity = (name, "1", BTC, FIRST)
            assert outbox.plan(connection, Intent(account, signal, identity, sized, after(1), None))
        return self._newest()

    def _newest(self) -> Order:
        ((number,),) = rows_of(self.engine, "SELECT max(id) FROM orders")
        with self.engine.connect() as connection:
            return outbox.load(connection, number)

    def attempts(self, of: Order) -> list[Order]:
        """Every attempt at an order's decision."""
        found = rows_of(
            self.engine,
            "SELECT id FROM orders WHERE (signal_id, leg) = (SELECT signal_id, leg FROM orders WHERE id = :id) "
            "ORDER BY attempt",
            id=of.id,
        )
        with self.engine.connect() as connection:
            return [outbox.load(connection, order) for (order,) in found]

    def states(self, of: Order) -> list[str]:
        return [str(order.state) for order in self.attempts(of)]

    def at_the_exchange(self, of: Order) -> list[dict[str, Any]]:
        """The exchange's orders that carry an id of any attempt."""
        ids = {order.client_order_id for order in self.attempts(of)}
        return [order for order in self.simulator.orders() if order["clientOrderId"] in ids]

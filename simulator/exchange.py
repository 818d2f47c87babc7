"""The exchange as a whole: clock, market, accounts, engine and what there is to observe about them."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from simulator.accounts import Accounts
from simulator.clock import Clock
from simulator.engine import Engine
from simulator.faults import Faults
from simulator.limits import Limits
from simulator.market import Market
from simulator.orders import Order
from simulator.redenomination import Redenominations
from simulator.settings import Settings

LOG_LENGTH = 200_000


class LogEntry(NamedTuple):
    """One request as it was answered; times in milliseconds, of the exchange and real.

    `start` and `limit` are what a question for candles or trades names, empty where it names none.
    """

    ts: int
    real_ts: int
    method: str
    path: str
    weight: int
    status: int
    symbol: str
    start: str
    limit: str


class RequestLog:
    """What was asked of the exchange."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.total = 0
        self.weight = 0
        self.by_endpoint: Counter[str] = Counter()
        self.by_status: Counter[str] = Counter()
        self.recent: deque[LogEntry] = deque(maxlen=LOG_LENGTH)

    def add(self, entry: LogEntry) -> None:
        self.total += 1
        self.weight += entry.weight
        self.by_endpoint[f"{entry.method} {entry.path}"] += 1
        self.by_status[str(entry.status)] += 1
        self.recent.append(entry)

    def view(self, newest: int) -> dict[str, Any]:
        entries = list(self.recent)[-newest:] if newest else []
        return {
            "total": self.total,
            "weight": self.weight,
            "by_endpoint": dict(self.by_endpoint),
            "by_status": dict(self.by_status),
            "log": [entry._asdict() for entry in entries],
        }


class Exchange:
    """Everything that answers are made of."""

    def __init__(self, clock: Clock, market: Market, accounts: Accounts, settings: Settings):
        self.clock = clock
        self.market = market
        self.symbols = market.symbols
        self.accounts = accounts
        self.settings = settings
        self.limits = Limits(clock, market.symbols, settings)
        self.engine = Engine(market, accounts, settings)
        self.engine.listeners.append(self._count_filled)
        self.faults = Faults()
        self.redenominations = Redenominations(self)
        self.log = RequestLog()
        self.start_time = clock.now()
        self.deposited = True
        self.keep: Callable[[], None] = lambda: None
        self.forget: Callable[[], None] = lambda: None
        self._first_settings = settings.view()

    def now(self) -> int:
        """Exchange time, after everything that happened to open orders until then."""
        now = self.clock.now()
        self.engine.catch_up(now)
        self.redenominations.end_pauses(now)
        return now

    def visible(self, time: int, now: int) -> bool:
        """Whether queries already know what happened at a time."""
        return not 0 <= now - time < self.settings.visibility_ms

    def record(self, method: str, path: str, weight: int, status: int, params: Mapping[str, str]) -> None:
        real = int(time.time() * 1000)
        named = (params.get(name, "") for name in ("symbol", "startTime", "limit"))
        self.log.add(LogEntry(self.clock.now(), real, method, path, weight, status, *named))

    def _count_filled(self, order: Order, execution: str, _fill: object, _time: int) -> None:
        if execution == "TRADE" and len(self.engine.fills_of[order.id]) == 1:
            self.limits.give_back(order.account)

    def reset(self) -> None:
        """Accounts and orders as at the start; the clock and the market stay as they are."""
        self.engine.clear()
        self.forget()
        self.deposited = True
        for account in self.accounts:
            account.reset()
        self.limits.clear()
        self.log.clear()
        self.faults.clear()
        self.redenominations.undo()
        self.market.edits.clear()
        self.market.fixed.clear()
        self.symbols.restore()
        self.settings.change(self._first_settings)

    def truth(self, newest: int = 1000) -> dict[str, Any]:
        """What the exchange did, whatever clients were told."""
        engine = self.engine
        return {
            "time": self.clock.now(),
            "orders": [order.in_truth() for order in engine.orders.values()],
            "fills": [fill.in_truth(engine.orders[fill.order_id].account) for fill in engine.fills],
            "balances": {account.name: account.statement() for account in self.accounts},
            "requests": self.log.view(newest),
        }

"""The cycle against the simulator over a span of the past: the product's own, whole, on real four-hour candles.

What is stood in for is Prefect, the request budgets and the opening of the database. The simulator's clock stands at
each close while the cycle runs, and from there on goes from fill to fill, after each of which the guardian looks.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from unittest import mock

from sqlalchemy import Engine, text

from eightbells.backtest.history import History
from eightbells.candles import grid
from eightbells.exchange import clock, rules
from eightbells.exchange.budgets import Budgets
from eightbells.exchange.rules import SymbolRules
from eightbells.settings import Settings, load_settings
from tests.exchange import Simulator

STEP = grid.STEP_MS
ORDERS = """
SELECT client_order_id, strategy, symbol, leg, side, type, quantity, price, stop_price, executed_quantity
FROM orders ORDER BY id
"""
_TOLD = 100  # cycles between two lines


@dataclass
class Recording:
    """What the cycle has done: its orders by their id, and the equity that each cycle has noted.

    Args:
        known_from: open time (ms) of the oldest candle that the cycle knew.
        last: that of the last candle that was traded in.
        worth: the equity at the close of that candle.
    """

    settings: Settings
    rules: dict[str, SymbolRules]
    first: int
    known_from: int = 0
    last: int = 0
    orders: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    equity: dict[int, Decimal] = field(default_factory=dict)
    worth: Decimal = Decimal(0)
    fills: int = 0
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0


def record(
    simulator: Simulator,
    engine: Engine,
    histories: Sequence[History],
    first: int,
    last: int,
    settings: dict[str, Any],
    seconds: float = float("inf"),
    tell: Callable[[str], None] = lambda _: None,
) -> Recording:
    """Run the cycle over the candles that open from `first` to `last`.

    Args:
        histories: the simulator's candles.
        settings: by the names of their variables without the prefix.
        seconds: how long it may take; the span ends there.
    """
    with (
        tempfile.TemporaryDirectory(prefix="eightbells-record-") as folder,
        _environment(simulator, engine, {"database__directory": folder, **settings}),
        mock.patch.object(clock, "_steady_ms", return_value=0.0),
        mock.patch.object(Budgets, "take", _unlimited),
        mock.patch("tasks.session.open_database", side_effect=lambda _: nullcontext(engine)),
        mock.patch("tasks.orders._MOST_ONE_BY_ONE", 0),  # all open orders are asked for at once
    ):
        found = Recording(load_settings(), {}, first)
        simulator.control(
            "settings", limits=False, deep_book=True, accounts={"paper": {"deposit": {"USDT": "10000000"}}}
        )
        asyncio.run(_record(simulator, found, last, time.monotonic() + seconds, tell))
    with engine.connect() as connection:
        found.rules = rules.load_all(connection, {it.symbol for it in histories})
        found.orders = {row[0]: tuple(row[1:]) for row in connection.execute(text(ORDERS))}
        oldest = connection.execute(text("SELECT min(open_time) FROM candles")).scalar_one()
        found.known_from = grid.to_ms(oldest)
        found.fills = connection.execute(text("SELECT count(*) FROM fills")).scalar_one()
        for at, equity in connection.execute(text("SELECT open_time, equity FROM cycles")):
            found.equity[grid.to_ms(at)] = equity
        closes = {it.symbol: _close(it, found.last) for it in histories}
        held = connection.execute(text("SELECT symbol, quantity, quote_flow FROM positions")).all()
    found.worth = sum((entry.capital for entry in found.settings.strategies), Decimal(0))
    found.worth += sum((flow + quantity * closes[symbol] for symbol, quantity, flow in held), Decimal(0))
    return found


def _close(history: History, open_ms: int) -> Decimal:
    return history.column("close")[int(history.opens.searchsorted(open_ms, "right")) - 1]


@contextmanager
def _environment(simulator: Simulator, engine: Engine, settings: dict[str, Any]) -> Iterator[None]:
    values = {
        "exchange__rest_url": f"{simulator.url}/api",
        "candles__settle_seconds": "0",
        "budgets__klines": "exchange",
        "budgets__orders": "exchange",
        "budgets__account": "exchange",
        "risk__max_jump_sigmas": 0,
        "trading__lease_seconds": 300,
        **settings,
    }
    shown = {
        f"EIGHTBELLS_{name.upper()}": value if isinstance(value, str) else json.dumps(value)
        for name, value in values.items()
    }
    address = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with mock.patch.dict(os.environ, {**shown, "DATABASE_URL": address}):
        os.environ.pop("EIGHTBELLS_MARKET_DATA", None)
        yield


async def _unlimited(*_: Any) -> None:
    """In the place of a permit to ask the exchange: a past minute takes less than one of ours."""


async def _record(
    simulator: Simulator,
    found: Recording,
    last: int,
    until: float,
    tell: Callable[[str], None],
) -> None:
    from flows.four_hour_cycle import four_hour_cycle
    from tasks.orders import guard, settle_orders
    from tasks.session import open_session
    from tests.crash.prefect_stub import without_prefect

    began = time.monotonic()
    with without_prefect("parity"):
        simulator.control("clock", time=found.first, speed=0)
        for number, opened in enumerate(range(found.first - STEP, last, STEP)):
            if time.monotonic() > until:
                break
            report = await four_hour_cycle.fn(candle=grid.to_time(opened))
            found.problems += report.problems
            found.last = opened + STEP
            while True:  # the cycle of a close sees what was filled at the open after it
                end = found.last + STEP - 1
                now = simulator.control("clock", time=end, until_fill=True)["time"]
                if now == end:
                    break
                async with open_session() as session:
                    found.problems += await settle_orders(session)
                    found.problems += await guard(session)
            simulator.control("clock", time=found.last + STEP)
            if number % _TOLD == _TOLD - 1:
                spent = time.monotonic() - began
                tell(f"{number + 1} cycles in {spent:.0f} s, to {grid.label(opened)}")
    found.seconds = time.monotonic() - began

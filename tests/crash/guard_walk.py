"""Days of one position with a stop: the price gaps, fills come late and in parts, the symbol halts, requests fail.

    python -m tests.crash.guard_walk [--walks N] [--days N] [--seed S]

After each look of the guardian, while the exchange answers, nothing is held without a stop that covers it, and
nothing is held at a price below its stop. What is sold goes at no less than the price after the gap: nothing more is
lost beyond the stop. Stops are the settings', a strategy's own, with a target beside
them, or trailing.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
from collections.abc import Awaitable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from unittest import mock

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, text

from cli.comparison import compare
from eightbells.candles import grid
from eightbells.errors import EightbellsError
from eightbells.exchange.gateway import Gateway, open_gateway
from eightbells.exchange.universe import refresh_universe
from eightbells.settings import Settings, load_settings
from eightbells.strategies.decision import Decision, EvaluationContext
from eightbells.trading import costs
from eightbells.trading.execution import OrderExecutor, to_settle
from eightbells.trading.guardian import Guardian
from eightbells.trading.lease import Lease, hold_lease
from eightbells.trading.planning import plan_orders
from tests.crash.world import SYMBOL, Trial, World, standing, strategy

GUARD_MS = 20_000
_LOOKS = 5  # of the guardian, in a day
_DUST = Decimal(6)  # USDT: what the exchange would take as an order is worth more than 5
_RESET = {"reset": True}
_FAULTS = (
    ("POST /api/v3/order*", {"status": 504, "html": True}),
    ("POST /api/v3/order*", {"code": -1021, "msg": "Timestamp for this request is outside."}),
    ("POST /api/v3/order*", {"code": -1013, "msg": "Filter failure: LOT_SIZE"}),
    ("POST /api/v3/order*", _RESET),
    ("DELETE /api/v3/order", _RESET),
    ("GET /api/v3/order", _RESET),
    ("GET /api/v3/myTrades", {"status": 502}),
    ("GET /api/v3/ticker/price", {"status": 503}),
)


@dataclass(frozen=True)
class Look:
    """What happens before one look of the guardian.

    Args:
        move: the price's, as a share of it.
        fault: number of a fault that strikes once, before or after the exchange did its work; None: none.
        status: the symbol's.
        expires: whether the exchange ends all open orders.
    """

    move: float
    fault: int | None
    late: bool
    status: str
    expires: bool


@dataclass(frozen=True)
class Day:
    """A decision, how the exchange fills what is sent, and the looks that follow.

    Args:
        levels: the decision's own stop and target, as shares of the price; None: it has none.
    """

    target: str
    levels: tuple[str, str] | None
    offset: str
    parts: str
    looks: tuple[Look, ...]


looks = st.builds(
    Look,
    move=st.one_of(st.floats(-0.03, 0.03), st.floats(-0.03, 0.03), st.floats(-0.3, 0.3)),
    fault=st.one_of(st.none(), st.none(), st.integers(0, len(_FAULTS) - 1)),
    late=st.booleans(),
    status=st.sampled_from(("TRADING", "TRADING", "TRADING", "TRADING", "BREAK", "CANCEL_ONLY")),
    expires=st.sampled_from((False, False, False, False, True)),
)
days = st.builds(
    Day,
    target=st.sampled_from(("long", "long", "flat")),
    levels=st.sampled_from((None, None, ("0.03", "0.02"), ("0.1", "0.08"), ("0.02", "0.25"))),
    offset=st.sampled_from(("0.002", "0.002", "-0.01")),
    parts=st.sampled_from(
        ("1", "1", "0.5")
    ),  # of an order that takes: the guardian sells on, at most twelve times
    looks=st.tuples(*[looks] * _LOOKS),
)

trailing_stops = st.sampled_from(("0", "0", "0.04"))


class Walk:
    """One account's days, with the product's own planning, sending and guarding, without Prefect."""

    def __init__(self, trial: Trial, chosen: Settings, gateway: Gateway) -> None:
        self._trial, self._settings, self._gateway = trial, chosen, gateway
        self._executor = OrderExecutor(chosen, trial.engine, gateway)
        self._guardian = Guardian(chosen, trial.engine, gateway, self._executor)
        self._price = Decimal(trial.close())
        self.days = 0

    async def day(self, day: Day) -> None:
        """One candle: the decision's orders, then the guardian's looks, each after something has happened."""
        self._trial.leap(price=f"{self._price:.2f}")
        await self._gateway.sync_clock()
        self._trial.simulator.control("settings", taker_fraction=day.parts, fill_gap_ms=30_000)
        await self._decide(day)
        for look in day.looks:
            await self._happen(look)
        await self._calm()
        self.days += 1

    async def _decide(self, day: Day) -> None:
        candle = self._trial.opened
        with self._trial.engine.begin() as connection:
            decision = _decision(connection, day, candle, self._price)
        context = EvaluationContext(self._settings.account, candle, self._gateway.clock.now_ms(), None)
        chosen = self._settings.model_copy(
            update={
                "trading": self._settings.trading.model_copy(update={"limit_offset": Decimal(day.offset)})
            }
        )
        async with self._lease() as lease:
            await self._settle(cancel=True)
            await self._guardian.guard(lease)
            plan = plan_orders(
                self._trial.engine, chosen, [decision], context, lease, await self._gateway.prices()
            )
            await self._executor.keep_where_closed(plan.orders)
            for order in plan.orders:
                await _tried(self._executor.send(order, lease))
            await self._guardian.guard(lease)

    async def _happen(self, look: Look) -> None:
        simulator = self._trial.simulator
        price, sold = self._price, len(self._sold())
        simulator.control("settings", symbols={SYMBOL: {"status": look.status}})
        if look.expires:
            simulator.control("expire", symbol=SYMBOL)
        if look.fault is not None:
            path, action = _FAULTS[look.fault]
            simulator.fault(path, action, when="after" if look.late and "code" not in action else "before")
        if look.status != "BREAK":  # nothing moves while nothing is traded
            self._price = max(self._price * (1 + Decimal(str(round(look.move, 4)))), Decimal(20_000))
            self._price = min(self._price, Decimal(200_000)).quantize(Decimal("0.01"))
            self._trial.hold(f"{self._price:.2f}")
        await self._look()
        self._no_more_is_lost(price, sold)
        simulator.ask("/simulator/faults", method="DELETE")
        if look.status == "TRADING" and look.fault is None:
            self._nothing_is_bare()

    async def _look(self) -> None:
        """The guardian's next look, its interval later."""
        self._trial.simulator.advance(GUARD_MS)
        await self._gateway.sync_clock()
        await self._settle()
        async with self._lease() as lease:
            await self._guardian.guard(lease)

    async def _calm(self) -> None:
        """The exchange answers again: within a look what was in doubt is known, and everything agrees."""
        self._trial.simulator.control("settings", symbols={SYMBOL: {"status": "TRADING"}})
        for _ in range(2):
            await self._look()
        self._nothing_is_bare()
        differences, _ = compare(self._trial.simulator.truth(), self._trial.engine)
        assert not differences, differences

    async def _settle(self, *, cancel: bool = False) -> None:
        for order in to_settle(self._trial.engine, self._settings.account):
            await _tried(self._executor.resolve(order))
            if cancel and order.side == "BUY":
                await _tried(self._executor.cancel(order))
            else:
                await _tried(self._executor.refresh(order))

    def _lease(self) -> AbstractAsyncContextManager[Lease]:
        return hold_lease(self._trial.engine, self._settings.account, 20, 20)

    def _nothing_is_bare(self) -> None:
        with self._trial.engine.connect() as connection:
            cost = costs.average_cost(connection, self._settings.account, "always", SYMBOL) or Decimal(0)
        worth = min(self._price, cost * Decimal("0.95"))  # a stop is valued at its own price
        rows = self._trial.rows(f"SELECT quantity FROM positions WHERE quantity * {worth} > {_DUST}")
        entries: dict[tuple[int, int], list[dict[str, Any]]] = {}
        for order in self._on_sale():  # a stop and its target are one sale
            alone = order["orderListId"] == -1
            entries.setdefault((order["orderListId"], order["orderId"] * alone), []).append(order)
        sales = list(entries.values())
        covered = sum((max(map(_left, sale)) for sale in sales), Decimal(0))
        ((all_held,),) = self._trial.rows("SELECT coalesce(sum(quantity), 0) FROM positions")
        assert covered <= all_held, f"{all_held} held, on sale {sales}"
        if not rows:
            return
        ((held,),) = rows
        assert len(sales) == 1, f"{held} held, on sale {sales}"
        assert held - covered < Decimal("0.00001"), f"{held} held, {covered} covered"
        for order in sales[0]:
            stop = Decimal(order["stopPrice"])
            assert stop == 0 or stop < self._price, f"held at {self._price} with a stop at {stop}"

    def _on_sale(self) -> list[dict[str, Any]]:
        """What is open at the exchange and sells."""
        return [
            order
            for order in self._trial.simulator.orders()
            if order["side"] == "SELL" and order["status"] in ("NEW", "PARTIALLY_FILLED", "PENDING_NEW")
        ]

    def _sold(self) -> list[tuple[Decimal, Decimal]]:
        """The price of each sale so far at the exchange, and its order's limit; 0: it has none."""
        orders = {
            order["orderId"]: order for order in self._trial.simulator.orders() if order["side"] == "SELL"
        }
        return [
            (Decimal(fill["price"]), Decimal(orders[fill["orderId"]]["price"]))
            for fill in self._trial.simulator.truth()["fills"]
            if fill["orderId"] in orders
        ]

    def _no_more_is_lost(self, price: Decimal, before: int) -> None:
        """What has no limit was not sold below the price before and after the gap; the bid lies a bit below them."""
        least = min(price, self._price) * Decimal("0.999")
        found = [at for at, limit in self._sold()[before:] if not limit]
        assert all(it >= least for it in found), (
            f"sold at {found}, the price went from {price} to {self._price}"
        )


def _left(order: dict[str, Any]) -> Decimal:
    return Decimal(order["origQty"]) - Decimal(order["executedQty"])


async def _tried(step: Awaitable[object]) -> None:
    """What fails is tried again by the next look."""
    with suppress(EightbellsError):
        await step


def _decision(connection: Connection, day: Day, opened: int, price: Decimal) -> Decision:
    """A decision on a proven candle, as the product keeps one."""
    at, close = grid.to_time(opened), grid.to_time(grid.closes_at(opened) - 1)
    stop = take_profit = None
    if day.levels is not None and day.target == "long":
        below, above = map(Decimal, day.levels)
        stop, take_profit = ((price * share).quantize(Decimal("0.01")) for share in (1 - below, 1 + above))
    values = {
        "at": at,
        "close": close,
        "price": price,
        "symbol": SYMBOL,
        "target": day.target,
        "stop": stop,
        "take_profit": take_profit,
    }
    signal = connection.execute(
        text("""
        WITH batch AS (
            INSERT INTO batches (source, "interval", known_at) VALUES ('rest', '4h', :close) RETURNING id
        ), candle AS (
            INSERT INTO candles SELECT :symbol, '4h', :at, :close, :price, :price, :price, :price, 1, :price, 1, 0, 0,
            'rest', id FROM batch RETURNING open_time
        ), validation AS (
            INSERT INTO validations (batch_id, suite, symbol, "interval", last_open_time, success, checked, failed)
            SELECT id, 'walk', :symbol, '4h', :at, TRUE, 1, 0 FROM batch RETURNING id, batch_id
        ), evaluation AS (
            INSERT INTO evaluations (
                account, strategy, strategy_version, parameters, parameters_hash, code_version, symbol, "interval",
                open_time, window_start, window_candles, as_of_batch, inputs_hash, validation_id, evaluated_at
            ) SELECT 'paper', 'always', '1', '{}', 'p', 'walk', :symbol, '4h', :at, :at, 1, batch_id, 'i', id, :close
            FROM validation, candle RETURNING id
        ) INSERT INTO signals (evaluation_id, target, price, reason, stop, take_profit)
        SELECT id, :target, :price, 'walk', :stop, :take_profit FROM evaluation
        RETURNING id
        """),
        values,
    ).scalar_one()
    return Decision(
        signal,
        "always",
        "1",
        SYMBOL,
        opened,
        day.target,
        price,
        "walk",
        stop,
        take_profit,  # type: ignore[arg-type]
    )


def walk(world: World, chosen: list[Day], trailing: str = "0") -> int:
    """Walk through days; returns how many there were.

    Args:
        trailing: how far below the highest price a trailing stop lies, as a share; "0": none.
    """

    async def walked() -> int:
        with_stop = [strategy("long", "0.05") | {"cooldown": 0, "trailing_stop": trailing}]
        with world.trial(strategies=with_stop, trading__limit_offset="0.002") as trial:
            with mock.patch.dict(os.environ, trial.environment()):
                loaded = load_settings()
            async with open_gateway(loaded, trial.engine) as gateway:
                await refresh_universe(gateway, trial.engine, [SYMBOL])
                walked = Walk(trial, loaded, gateway)
                for day in chosen:
                    await walked.day(day)
                return walked.days

    return asyncio.run(walked())


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash.guard_walk", description=__doc__)
    parser.add_argument("--walks", type=int, default=40)
    parser.add_argument("--days", type=int, default=25)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31))
    chosen = parser.parse_args(arguments)
    total = 0
    with standing() as world:

        @seed(chosen.seed)
        @settings(
            max_examples=chosen.walks,
            deadline=None,
            database=None,
            phases=(Phase.explicit, Phase.generate),
            suppress_health_check=list(HealthCheck),
        )
        @given(st.lists(days, min_size=chosen.days, max_size=chosen.days), trailing_stops)
        def all_of_them(some: list[Day], trailing: str) -> None:
            nonlocal total
            total += walk(world, some, trailing)
            print(f"{total} days", end="\r", flush=True)

        try:
            all_of_them()
        except AssertionError as error:
            print(f"FAILED after {total} days: {error}", *getattr(error, "__notes__", []), sep="\n")
            return 1
    print(f"{total} days, nothing was held without a stop")
    return 0


if __name__ == "__main__":
    sys.exit(main())

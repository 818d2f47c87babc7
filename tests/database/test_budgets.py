"""Permits: shared by everybody on one database, never more in a window than allowed."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine
from sqlalchemy.engine import URL

from eightbells.exchange.budgets import Budgets, Limit
from eightbells.settings import BudgetSettings
from tests.klines import one, rows_of
from tests.surroundings import ROOT

# takes what it can get until its time is over; says when each permit was given, by the database's clock
TAKER = """
import json, sys, time, psycopg
address, allowed, seconds, costs, lasting = sys.argv[1:]
granted = []
with psycopg.connect(address, autocommit=True) as connection:
    until = time.monotonic() + float(lasting)
    while time.monotonic() < until:
        given, wait, at = connection.execute(
            "SELECT granted, wait_seconds, clock_timestamp() FROM take_permits('shared', %s, %s, %s)",
            (json.loads(costs), int(allowed), float(seconds)),
        ).fetchone()
        if given:
            granted.append([at.timestamp(), sum(json.loads(costs)[:given])])
        time.sleep(min(wait, until - time.monotonic()) if wait < 60 else 0)
print(json.dumps(granted))
"""


def address(database: URL) -> str:
    return database.render_as_string(hide_password=False)


def most_in_a_window(granted: list[list[float]], seconds: float) -> float:
    """The most that was granted in any window that begins with a grant."""
    return max(sum(cost for at, cost in granted if start <= at < start + seconds) for start, _ in granted)


@pytest.mark.parametrize("costs", [[1], [7, 20, 3]], ids=str)
def test_processes_together_never_overshoot_a_sliding_window(database: URL, costs: list[int]) -> None:
    allowed, seconds, lasting = 8 * max(costs), 0.4, 1.5
    command = [sys.executable, "-c", TAKER, address(database), str(allowed), str(seconds), json.dumps(costs)]
    takers = [
        subprocess.Popen([*command, str(lasting)], stdout=subprocess.PIPE, text=True, cwd=ROOT)
        for _ in range(4)
    ]
    granted = [grant for taker in takers for grant in json.loads(taker.communicate(timeout=30)[0])]
    assert most_in_a_window(granted, seconds) <= allowed
    assert sum(cost for _, cost in granted) > allowed * lasting / seconds / 2  # it is used, not only guarded


def test_threads_that_wait_together_never_overshoot(engine: Engine) -> None:
    settings = BudgetSettings(orders=5)

    def take(_: int) -> None:
        asyncio.run(with_budgets(engine, settings, take_three))

    async def take_three(budgets: Budgets) -> None:
        await asyncio.gather(*(budgets.take("orders", 4) for _ in range(3)))

    started = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(take, range(4)))
    assert time.monotonic() - started > 2  # twelve at five a second: the last two in the third second
    assert one(engine, "SELECT sum(cost) FROM budget_grants WHERE name = 'weight'") == 12 * 4


async def with_budgets(
    engine: Engine, settings: BudgetSettings, act: Callable[[Budgets], Awaitable[Any]]
) -> Any:
    budgets = Budgets(engine, settings)
    try:
        return await act(budgets)
    finally:
        await budgets.close()


def run(engine: Engine, act: Callable[[Budgets], Awaitable[Any]], **settings: Any) -> Any:
    return asyncio.run(with_budgets(engine, BudgetSettings(**settings), act))


async def in_time(permit: Awaitable[None], seconds: float = 0.3) -> bool:
    try:
        await asyncio.wait_for(permit, seconds)
    except TimeoutError:
        return False
    return True


def test_a_full_budget_says_how_long_to_wait(engine: Engine) -> None:
    with engine.begin() as connection:
        ask = "SELECT granted, wait_seconds FROM take_permits('klines', ARRAY[1, 1, 1], 2, 5)"
        granted, wait = connection.exec_driver_sql(ask).one()
    assert granted == 2
    assert 4.8 < wait <= 5.2


def test_a_closed_budget_grants_nothing_to_anybody(engine: Engine) -> None:
    async def close(budgets: Budgets) -> None:
        await budgets.close_until(60, "HTTP 429")

    async def take(budgets: Budgets) -> bool:
        return await in_time(budgets.take("account", 1))

    assert run(engine, take)
    run(engine, close)
    assert not run(engine, take)
    assert one(engine, "SELECT reason FROM budgets WHERE name = 'weight'") == "HTTP 429"


def test_a_shorter_closure_does_not_open_a_longer_one(engine: Engine) -> None:
    async def close(budgets: Budgets) -> None:
        await budgets.close_until(120, "ban")
        await budgets.close_until(1, "ban")

    run(engine, close)
    assert one(engine, "SELECT closed_until > now() + interval '100 seconds' FROM budgets")


def test_grants_of_a_clock_that_was_set_back_do_not_block_for_ever(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO budgets (name) VALUES ('orders')")
        connection.exec_driver_sql("INSERT INTO budget_grants VALUES ('orders', 99999999999, 10)")

    async def take(budgets: Budgets) -> bool:
        return await in_time(budgets.take("orders", 1))

    assert run(engine, take)


def test_downloads_leave_weight_for_orders(engine: Engine) -> None:
    async def fill(budgets: Budgets) -> tuple[bool, bool]:
        budgets.learn([{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "limit": 100}])
        for _ in range(45):
            await budgets.take("klines", 2)
        return await in_time(budgets.take("klines", 2)), await in_time(budgets.take("orders", 1))

    assert run(engine, fill, klines="exchange") == (False, True)


def test_the_users_own_budget_holds_besides_the_weight(engine: Engine) -> None:
    async def take(budgets: Budgets) -> tuple[bool, bool, bool]:
        return (
            await in_time(budgets.take("account", 20)),
            await in_time(budgets.take("account", 20)),
            await in_time(budgets.take("orders", 1)),
        )

    assert run(engine, take, account=1) == (True, False, True)


def test_limits_are_those_of_the_exchange_once_they_are_known(engine: Engine) -> None:
    limits = [
        {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 1},
        {
            "rateLimitType": "REQUEST_WEIGHT",
            "interval": "MINUTE",
            "limit": 1200,
        },  # as some answers lack intervalNum
    ]

    async def learn(budgets: Budgets) -> tuple[Limit, Limit]:
        before = budgets.weight
        budgets.learn(limits)
        return before, budgets.weight

    assert run(engine, learn) == (Limit(6000, 60), Limit(1200, 60))


def test_permits_go_on_after_the_connection_was_lost(engine: Engine, database: URL) -> None:
    async def lose_and_take(budgets: Budgets) -> None:
        await budgets.take("orders", 1)
        with psycopg.connect(address(database), autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        with suppress(psycopg.OperationalError):  # the first to notice
            await budgets.take("orders", 1)
        await budgets.take("orders", 1)

    run(engine, lose_and_take)
    assert rows_of(engine, "SELECT sum(cost) >= 2 FROM budget_grants WHERE name = 'weight'") == [(True,)]

"""Permits: shared by everybody on one database, never more in a window than allowed."""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine
from sqlalchemy.engine import URL

from eightbells.exchange.budgets import Budgets, Limit, closure
from eightbells.settings import BudgetSettings
from tests.klines import one, rows_of

# every grant with its moment, whoever made it
LEDGER = """
CREATE TABLE granted (name text, cost integer, at timestamptz);
CREATE FUNCTION note_grant() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO granted VALUES (NEW.name, NEW.cost - coalesce(OLD.cost, 0), clock_timestamp());
    RETURN NULL;
END $$;
CREATE TRIGGER note AFTER INSERT OR UPDATE ON budget_grants FOR EACH ROW EXECUTE FUNCTION note_grant();
"""


def most_in_a_window(engine: Engine, name: str, seconds: float) -> int:
    """The most that was granted in any window that begins with a grant."""
    found: int = one(
        engine,
        "SELECT max(total) FROM (SELECT sum(cost) OVER (ORDER BY at RANGE BETWEEN CURRENT ROW AND "
        "make_interval(secs => :seconds) FOLLOWING) AS total FROM granted WHERE name = :name) AS windows",
        name=name,
        seconds=seconds,
    )
    return found


@pytest.mark.parametrize(("parallel", "costs"), [(5, [4]), (3, [4, 20, 40])], ids=str)
def test_takers_together_never_overshoot_a_sliding_window(
    engine: Engine, parallel: int, costs: list[int]
) -> None:
    """Four takers, each with a connection of its own as processes have, against an order and a weight limit."""
    allowed, weight, lasting = 20, 200, 2.0
    with engine.begin() as connection:
        connection.exec_driver_sql(LEDGER)

    async def take_all(budgets: Budgets) -> None:
        budgets.weight = Limit(weight, 1)
        until = time.monotonic() + lasting

        async def take() -> None:
            for cost in itertools.cycle(costs):
                if time.monotonic() > until:
                    return
                await budgets.take("orders", cost)

        await asyncio.gather(*(take() for _ in range(parallel)))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: run(engine, take_all, orders=allowed), range(4)))
    assert most_in_a_window(engine, "orders", 1) <= allowed
    assert most_in_a_window(engine, "weight", 1) <= weight
    # and the tighter of the two is used, not only guarded
    tighter = min(allowed, weight / (sum(costs) / len(costs)))
    assert one(engine, "SELECT sum(cost) FROM granted WHERE name = 'orders'") > tighter * lasting / 2


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


async def granted(permit: Awaitable[None]) -> bool:
    """A permit that is to be had comes within a round trip."""
    await asyncio.wait_for(permit, 20)
    return True


async def withheld(permit: Awaitable[None]) -> bool:
    """A permit that is not to be had does not come in many round trips."""
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(permit, 0.5)
    return True


def test_a_closed_budget_grants_nothing_to_anybody(engine: Engine) -> None:
    async def close(budgets: Budgets) -> None:
        await budgets.close_until(60, "HTTP 429")

    async def take(budgets: Budgets) -> bool:
        return await granted(budgets.take("account", 1))

    async def take_in_vain(budgets: Budgets) -> bool:
        return await withheld(budgets.take("account", 1))

    assert run(engine, take)
    run(engine, close)
    assert run(engine, take_in_vain)
    assert one(engine, "SELECT reason FROM budgets WHERE name = 'weight'") == "HTTP 429"


def test_machines_at_another_address_have_a_limit_of_their_own_and_one_account(engine: Engine) -> None:
    async def close(budgets: Budgets) -> bool:
        await budgets.take("orders", 1)
        await budgets.close_until(60, "HTTP 429")
        return await withheld(budgets.take("klines", 1))

    async def take(budgets: Budgets) -> bool:
        return await granted(budgets.take("klines", 1)) and await withheld(budgets.take("orders", 1))

    given = {"klines": 1, "orders": 1, "account": 1}
    assert run(engine, close, **given, address="10.0.0.1")
    assert run(engine, take, **given, address="10.0.0.2")
    with engine.connect() as connection:
        shut = {it: closure(connection, BudgetSettings(address=it)) for it in ("", "10.0.0.1", "10.0.0.2")}
    assert {it: found and found[0] for it, found in shut.items()} == {
        "": None,
        "10.0.0.1": "HTTP 429",
        "10.0.0.2": None,
    }


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
        return await granted(budgets.take("orders", 1))

    assert run(engine, take)


def test_downloads_leave_weight_for_orders(engine: Engine) -> None:
    async def fill(budgets: Budgets) -> bool:
        budgets.learn([{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "limit": 100}])
        for _ in range(45):
            await budgets.take("klines", 2)
        return await withheld(budgets.take("klines", 2)) and await granted(budgets.take("orders", 1))

    assert run(engine, fill, klines="exchange")


def test_the_users_own_budget_holds_besides_the_weight(engine: Engine) -> None:
    async def take(budgets: Budgets) -> bool:
        started = time.monotonic()
        for _ in range(3):
            await budgets.take("account", 20)
        slow = time.monotonic() - started
        return slow > 2 and await granted(budgets.take("orders", 1))

    assert run(engine, take, account=1)


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
        with psycopg.connect(database.render_as_string(), autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        await budgets.take("orders", 1)

    run(engine, lose_and_take)
    assert rows_of(engine, "SELECT sum(cost) >= 2 FROM budget_grants WHERE name = 'weight'") == [(True,)]


def test_a_long_wait_is_announced_once_with_what_it_is_for(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eightbells.exchange.budgets.ANNOUNCED_SECONDS", 0.3)
    told: list[str] = []

    async def take() -> None:
        budgets = Budgets(engine, BudgetSettings(account=1), announce=told.append)
        await asyncio.gather(*(budgets.take("account", 1) for _ in range(2)))
        await budgets.close_until(0.5, "Binance -1003 on klines: IP banned")
        await asyncio.gather(*(budgets.take(None, 1) for _ in range(5)))
        await budgets.take(None, 1)
        await budgets.close()

    asyncio.run(take())
    assert len(told) == 2
    assert re.fullmatch(
        r"waiting until [-\d ]*\d\d:\d\d:\d\d UTC: budgets.account of 1 per second is used up", told[0]
    )
    assert told[1].endswith(" UTC: Binance -1003 on klines: IP banned")

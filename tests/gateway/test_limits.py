"""Time limits: a run that takes too long leaves orders, lease and books as they can be taken up again."""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
import subprocess
import sys
import time

import pytest
from prefect import Flow, Task, flow

import flows
import tasks
from eightbells.exchange.recovery import TABLE
from eightbells.settings import LimitSettings
from orchestration.limits import TookTooLong, flow_limit, limited, progressed
from tasks.orders import send_orders, settle_orders, trading_lease
from tasks.session import open_session
from tests.conftest import Configure
from tests.gateway.trading import Books
from tests.klines import one

STEPS_OF_A_CYCLE = 8  # that ask the exchange one after the other


def test_a_run_that_reaches_its_limit_while_an_order_is_sent_leaves_it_to_the_next(
    prefect_server: str, books: Books, configure: Configure
) -> None:
    order = books.plan()
    configure(limits__flow_seconds="8", exchange__timeout_seconds="60")
    books.simulator.fault("POST /api/v3/order", {"silence": 30}, when="after")

    @flow(name="a test's flow that takes too long")
    async def send() -> None:
        async with open_session() as session, trading_lease(session) as lease:
            await send_orders(session, [order.id], lease)

    @flow(name="a test's flow after it")
    async def settle() -> None:
        async with open_session() as session:
            await settle_orders(session)  # also orders that other tests left behind in the same books

    with pytest.raises(TookTooLong, match=r"the run took longer than 8 s and was cancelled"):
        asyncio.run(send())
    assert books.states(order) == ["SENDING"]
    assert one(books.engine, "SELECT bool_and(expires_at <= clock_timestamp()) FROM leases")
    configure(limits__flow_seconds="600")
    asyncio.run(settle())
    assert books.states(order) == ["OPEN"]
    assert len(books.at_the_exchange(order)) == 1


async def test_the_time_of_a_task_begins_again_with_its_progress() -> None:
    @limited
    async def work(steps: int, pause: float, tells: bool) -> str:
        for _ in range(steps):
            await asyncio.sleep(pause)
            if tells:
                await asyncio.to_thread(progressed)
        return "done"

    async with flow_limit(LimitSettings(task_seconds=0.5)):
        assert await work(8, 0.1, True) == "done"
        with pytest.raises(TookTooLong, match=r"task work took longer than 0.5 s .* \(limits.task_seconds\)"):
            await work(8, 0.1, False)


def test_a_run_that_blocks_its_process_loses_it() -> None:
    script = (
        "import asyncio, time\nfrom eightbells.settings import LimitSettings\nfrom orchestration import limits\n"
        "limits.LAST_RESORT_SECONDS = 0.2\n"
        "async def run():\n"
        "    async with limits.flow_limit(LimitSettings(flow_seconds=0.1)):\n        time.sleep(60)\n"
        "asyncio.run(run())"
    )
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert time.monotonic() - began < 30
    assert "Timeout" in done.stderr
    assert "in run" in done.stderr


def test_every_task_has_a_limit_and_every_flow_but_the_stream() -> None:
    for package in (tasks, flows):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            for name, value in vars(importlib.import_module(module.name)).items():
                step = getattr(value, "task", value)
                if isinstance(step, Task) and not isinstance(step, Flow):
                    assert getattr(step.fn, "is_limited", False), f"{module.name}.{name}"


def test_the_limit_of_a_run_is_longer_than_all_retries_of_its_steps() -> None:
    longest = max(remedy.delay * remedy.attempts for remedy in TABLE.values())
    assert longest >= 3 * 60
    assert STEPS_OF_A_CYCLE * longest < LimitSettings().flow_seconds < 4 * 3600

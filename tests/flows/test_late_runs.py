"""Runs of a schedule that come late, all at once or not at all, or that fail: one of them does the work."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas import State
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.client.schemas.objects import FlowRun
from prefect.flow_engine import run_flow
from prefect.states import Completed, Crashed, Scheduled
from sqlalchemy import text

from eightbells.candles import grid
from flows.four_hour_cycle import four_hour_cycle
from orchestration.deployments import register
from orchestration.failed import WAITS, start_failed_again
from orchestration.missed import plan_missed
from tests.exchange import LAST, SYMBOLS
from tests.flows.conftest import Watch
from tests.gateway.answers import QUICK, error

CYCLE = "four-hour-cycle/four-hour-cycle"
FRESH = timedelta(hours=5)


async def due(hours_ago: float, state: State[Any] | None = None, **parameters: Any) -> FlowRun:
    """A run of the cycle's deployment that was due some hours ago, and what has become of it."""
    return await due_at(datetime.now(UTC) - timedelta(hours=hours_ago), state, **parameters)


async def due_at(
    at: datetime, state: State[Any] | None = None, tags: tuple[str, ...] = (), **parameters: Any
) -> FlowRun:
    async with get_client() as client:
        deployment = await client.read_deployment_by_name(CYCLE)
        run = await client.create_flow_run_from_deployment(
            deployment.id, state=Scheduled(scheduled_time=at), parameters=parameters, tags=tags
        )
        if state is not None:
            await client.set_flow_run_state(run.id, state, force=True)
        return await client.read_flow_run(run.id)


async def outcome(run: FlowRun) -> str:
    await run_flow(four_hour_cycle, flow_run=run, return_type="state")
    async with get_client() as client:
        state = (await client.read_flow_run(run.id)).state
    assert state is not None
    return state.name


@pytest.fixture(autouse=True)
async def _no_runs(watch: Watch) -> AsyncIterator[None]:
    """The deployments are known and the cycle's is switched off, without any runs; none is left behind."""
    await register()
    await _switch(paused=True)
    await _forget()
    yield
    await _switch(paused=False)
    await _forget()


async def _forget() -> None:
    async with get_client() as client:
        for run in await _runs():
            await client.delete_flow_run(run.id)


async def _switch(*, paused: bool) -> None:
    async with get_client() as client:
        await client.request("PATCH", f"/deployments/{await _number()}", json={"paused": paused})


async def _number() -> str:
    async with get_client() as client:
        return str((await client.read_deployment_by_name(CYCLE)).id)


async def _runs() -> list[FlowRun]:
    number = await _number()
    async with get_client() as client:
        return [run for run in await client.read_flow_runs() if str(run.deployment_id) == number]


async def test_of_those_that_are_late_the_newest_does_the_work(watch: Watch) -> None:
    runs = [await due(8), await due(4), await due(0.5)]
    assert [await outcome(run) for run in runs] == ["SkippedStale", "SkippedStale", "Completed"]
    assert watch.rows("SELECT open_time, flow_run FROM cycles") == [(grid.to_time(LAST), str(runs[2].id))]
    assert len(watch.orders()) == len(SYMBOLS)


async def test_one_whose_successors_ended_in_vain_does_the_work(watch: Watch) -> None:
    run = await due(4)
    await due(2, Crashed())
    assert await outcome(run) == "Completed"


async def test_one_whose_successor_has_done_the_work_already_has_none(watch: Watch) -> None:
    run = await due(4)
    await due(2, Completed())
    assert await outcome(run) == "SkippedStale"
    assert watch.simulator.requests()["GET /api/v3/klines"] == 0


async def test_a_later_run_that_somebody_started_for_something_else_is_no_successor(watch: Watch) -> None:
    run = await due(4)
    await due(1, symbols=["BTCUSDT"])
    await due(1, candle=grid.to_time(LAST).isoformat())
    await due(1, trade=False)
    assert await outcome(run) == "Completed"


async def test_a_run_with_a_choice_of_its_own_is_never_skipped(watch: Watch) -> None:
    run = await due(4, symbols=["BTCUSDT"])
    await due(1)
    assert await outcome(run) == "Completed"


async def test_the_newest_due_time_that_nobody_planned_gets_its_run_once(watch: Watch) -> None:
    now = datetime.now(UTC)
    boundary = grid.to_time(grid.floor(grid.to_ms(now - timedelta(seconds=20))))
    await due(30, Completed())
    await _switch(paused=False)
    assert "four-hour-cycle" in await plan_missed(now)
    planned = [run for run in await _runs() if run.expected_start_time == boundary]
    assert [run.state_name for run in planned] in (["Scheduled"], ["Late"])
    assert "four-hour-cycle" not in await plan_missed(now)


async def test_nothing_is_made_up_for_where_a_run_stands_or_the_schedule_is_off(watch: Watch) -> None:
    now = datetime.now(UTC)
    assert await plan_missed(now) == []  # switched off
    await _switch(paused=False)
    assert "four-hour-cycle" not in await plan_missed(now)  # it has never run
    await due(30, Completed())
    await due(0.001, Crashed())
    assert "four-hour-cycle" not in await plan_missed(now + timedelta(minutes=1))


async def test_one_that_failed_after_its_orders_is_started_again_and_orders_nothing_twice(
    watch: Watch,
) -> None:
    boundary = grid.to_time(grid.floor(grid.to_ms(after_the_wait())))
    await _switch(paused=False)
    first = await due_at(boundary)
    with refusing(watch, "cycles"):  # the books are closed after the orders
        assert await outcome(first) == "Failed"
    ordered = watch.simulator.truth()
    assert len(ordered["orders"]) == len(SYMBOLS)
    assert await start_failed_again(datetime.now(UTC), FRESH) == ""  # it waits
    words = await start_failed_again(after_the_wait(), FRESH)
    assert words.startswith(f"attempt 2 of 5: the run '{(await reread(first)).name}' failed at ")
    assert await start_failed_again(after_the_wait(), FRESH) == ""  # it is under way
    (second,) = [run for run in await _runs() if run.expected_start_time == boundary and run.id != first.id]
    assert set(second.tags) == {"watch", "attempt-2"}
    of_second = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[second.id]))
    async with get_client() as client:
        assert [log.message for log in await client.read_logs(of_second)] == [words]
    assert await outcome(second) == "Completed"
    assert watch.simulator.truth() == ordered
    assert watch.rows("SELECT flow_run FROM cycles") == [(str(second.id),)]
    assert await start_failed_again(after_the_wait(), FRESH) == ""


async def test_one_whose_candle_is_old_or_that_somebody_started_is_not_started_again(watch: Watch) -> None:
    boundary = grid.to_time(grid.floor(grid.to_ms(after_the_wait())))
    await _switch(paused=False)
    await due_at(boundary + timedelta(milliseconds=1), Crashed())
    assert await start_failed_again(after_the_wait(), FRESH) == ""
    await due_at(boundary, Crashed())
    now = after_the_wait()
    assert await start_failed_again(now, now - boundary) == ""
    await _switch(paused=True)
    assert await start_failed_again(now, FRESH) == ""
    await _switch(paused=False)
    assert "crashed at" in await start_failed_again(now, FRESH)


def after_the_wait() -> datetime:
    """When a run that has just failed may be started again."""
    return datetime.now(UTC) + WAITS[0] + timedelta(seconds=1)


@contextmanager
def refusing(watch: Watch, table: str) -> Iterator[None]:
    """With a table that takes no row for the length of a block."""
    for change in ("ADD CONSTRAINT refused CHECK (false) NOT VALID", "DROP CONSTRAINT refused"):
        with watch.engine.begin() as connection:
            connection.execute(text(f"ALTER TABLE {table} {change}"))
        if change.startswith("ADD"):
            yield


async def reread(run: FlowRun) -> FlowRun:
    async with get_client() as client:
        return await client.read_flow_run(run.id)


async def test_a_cycle_whose_orders_the_exchange_put_off_is_started_again(watch: Watch) -> None:
    """Its report is complete; the next attempt sends what waits, and nothing twice."""
    watch.use(errors={"maintenance": {"delay": QUICK}})
    closed = error(-2010, "Rest API trading is not enabled.")
    watch.simulator.fault("POST /api/v3/order", closed, times=99, match={"symbol": "BTCUSDT"})
    boundary = grid.to_time(grid.floor(grid.to_ms(after_the_wait())))
    await _switch(paused=False)
    first = await due_at(boundary, tags=("attempt-2",))
    assert await outcome(first) == "Failed"
    assert "BUY BTCUSDT" in await start_failed_again(after_the_wait(), FRESH)
    (second,) = [run for run in await _runs() if run.expected_start_time == boundary and run.id != first.id]
    watch.simulator.ask("/simulator/faults", method="DELETE")
    assert await outcome(second) == "Completed"
    orders = watch.simulator.orders()
    assert sorted(order["symbol"] for order in orders) == sorted(SYMBOLS)
    assert watch.differences() == []

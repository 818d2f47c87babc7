"""Runs of a schedule that come late, all at once or not at all: one of them does the work."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas import State
from prefect.client.schemas.objects import FlowRun
from prefect.flow_engine import run_flow
from prefect.states import Completed, Crashed, Scheduled

from eightbells.candles import grid
from flows.deployments import register
from flows.four_hour_cycle import four_hour_cycle
from flows.missed import plan_missed
from tests.exchange import LAST, SYMBOLS
from tests.flows.conftest import Watch

CYCLE = "four-hour-cycle/four-hour-cycle"


async def due(hours_ago: float, state: State[Any] | None = None, **parameters: Any) -> FlowRun:
    """A run of the cycle's deployment that was due some hours ago, and what has become of it."""
    at = datetime.now(UTC) - timedelta(hours=hours_ago)
    async with get_client() as client:
        deployment = await client.read_deployment_by_name(CYCLE)
        run = await client.create_flow_run_from_deployment(
            deployment.id, state=Scheduled(scheduled_time=at), parameters=parameters
        )
        if state is not None:
            await client.set_flow_run_state(run.id, state, force=True)
        return await client.read_flow_run(run.id)


async def outcome(run: FlowRun) -> str:
    await run_flow(four_hour_cycle, flow_run=run)
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

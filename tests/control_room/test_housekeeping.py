"""Prefect's record of old runs is forgotten, with logs, tasks and artifacts; what is younger or goes on is kept."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from prefect import flow, task
from prefect.artifacts import acreate_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
    FlowRunFilter,
    FlowRunFilterId,
    LogFilter,
    LogFilterFlowRunId,
)
from prefect.exceptions import ObjectNotFound
from prefect.runtime import flow_run

from eightbells.settings import load_settings
from flows.housekeeping import housekeeping
from tasks.pruning import prune_runs
from tests.conftest import Configure


@task
async def work() -> None:
    """A task run to forget."""


@flow(name="inner")
async def inner() -> None:
    """A run beneath a run."""
    await work()


@flow(name="worked")
async def worked(fails: bool = False) -> UUID:
    """A run with a task, a subflow and an artifact."""
    await work()
    await inner()
    await acreate_markdown_artifact("# Done", key="to-be-forgotten")
    if fails:
        raise RuntimeError("it was to fail")
    return UUID(flow_run.get_id())


async def exists(run: UUID) -> bool:
    async with get_client() as client:
        try:
            await client.read_flow_run(run)
        except ObjectNotFound:
            return False
        return True


async def left_of(run: UUID) -> tuple[int, int, int]:
    """Artifacts, task runs and logs of a run."""
    async with get_client() as client:
        artifacts = await client.read_artifacts(
            artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run]))
        )
        tasks = await client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run])))
        logs = await client.read_logs(log_filter=LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run])))
        return len(artifacts), len(tasks), len(logs)


async def log(run: UUID) -> None:
    """A line in the run's log, as its process would send it."""
    line = {
        "name": "prefect.flow_runs",
        "level": logging.INFO,
        "message": "a line",
        "flow_run_id": str(run),
        "timestamp": datetime.now(UTC).isoformat(),
    }
    async with get_client() as client:
        await client.request("POST", "/logs/", json=[line])


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    """Task runs are recorded, and logs deleted, after the request."""
    for _ in range(200):
        if await holds():
            return
        await asyncio.sleep(0.1)
    raise AssertionError("not within 20 s")


async def test_runs_that_ended_before_are_forgotten_and_younger_ones_kept(prefect_server: str) -> None:
    old = await worked()
    failed = (await worked(fails=True, return_state=True)).state_details.flow_run_id
    await log(old)

    async def recorded() -> bool:
        return await left_of(old) == (1, 2, 1)

    await eventually(recorded)
    between = datetime.now(UTC)
    young = await worked()
    pruned = await _forgotten(between)
    assert pruned.flow_runs >= 4  # both, and what ran beneath them
    assert pruned.artifacts >= 2
    assert not await exists(old)
    assert not await exists(failed)
    assert await exists(young)

    async def gone() -> bool:
        return await left_of(old) == (0, 0, 0)

    await eventually(gone)
    assert (await left_of(young))[0] == 1


@flow(name="forgets")
async def _forgotten(before: datetime) -> object:
    return await prune_runs(before)


async def test_a_run_that_goes_on_is_kept_without_the_tasks_it_is_long_done_with(prefect_server: str) -> None:
    @flow(name="goes-on")
    async def goes_on() -> int:
        await work()
        me = UUID(flow_run.get_id())

        async def recorded() -> bool:
            return (await left_of(me))[1] == 1

        await eventually(recorded)
        async with get_client():
            pruned = await prune_runs.task.fn(datetime.now(UTC) + timedelta(seconds=1))
        assert (await left_of(me))[1] == 0
        assert await exists(me)
        return pruned.task_runs

    assert await goes_on() >= 1


async def test_the_setting_says_how_much_is_kept(prefect_server: str, configure: Configure) -> None:
    configure()
    run = await worked()
    await housekeeping()
    assert await exists(run)
    site = load_settings().directory / "data-docs"
    assert "<h1>Data Docs</h1>" in (site / "index.html").read_text()
    async with get_client() as client:
        (link, *_) = await client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=["data-docs"]))
        )
    assert "http://127.0.0.1:9464/data-docs/" in link.data
    assert str(site) in link.description
    configure(prefect__keep_days=0.000001)
    await housekeeping()
    assert not await exists(run)


async def test_more_runs_than_go_into_one_request(
    prefect_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.pruning._AT_ONCE", 2)
    runs = [(await inner(return_state=True)).state_details.flow_run_id for _ in range(5)]
    assert (await _forgotten(datetime.now(UTC))).flow_runs >= 5
    assert [run for run in runs if await exists(run)] == []

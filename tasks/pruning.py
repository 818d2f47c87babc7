"""Steps that delete Prefect's records of runs that ended long ago. Candles, orders and books stay."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
    FlowRunFilterEndTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
    TaskRunFilter,
    TaskRunFilterEndTime,
)
from prefect.client.schemas.objects import TERMINAL_STATES, StateType

from orchestration.exchange_task import limited_task
from orchestration.limits import progressed
from orchestration.prefect_time import prefect_time

# not among the routes that Prefect's client declares
_DELETE_RUNS: Any = "/flow_runs/bulk_delete"
_AT_ONCE = 50  # what the server deletes with one request


@dataclass
class Pruned:
    """How much was forgotten."""

    flow_runs: int = 0
    task_runs: int = 0
    artifacts: int = 0


@limited_task("forget runs that ended before {before:%Y-%m-%d %H:%M}")
async def prune_runs(before: datetime) -> Pruned:
    """Delete the runs that ended before a time, with their logs and artifacts.

    Of runs that go on, as the stream's does for weeks, the task runs that ended before it are deleted.
    """
    pruned = Pruned()
    async with get_client() as client:
        while runs := await _ended(client, before):
            pruned.artifacts += await _delete_artifacts(client, runs)
            chosen = {"flow_runs": {"id": {"any_": [str(run) for run in runs]}}, "limit": _AT_ONCE}
            answer = await client.request("POST", _DELETE_RUNS, json=chosen)
            deleted = len(answer.json()["deleted"])
            pruned.flow_runs += deleted
            progressed()
            if not deleted:
                break
        pruned.task_runs = await _delete_task_runs(client, before)
    return pruned


async def _ended(client: PrefectClient, before: datetime) -> list[UUID]:
    ended = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(TERMINAL_STATES))),
        end_time=FlowRunFilterEndTime(before_=prefect_time(before)),
    )
    return [run.id for run in await client.read_flow_runs(flow_run_filter=ended, limit=_AT_ONCE)]


async def _delete_artifacts(client: PrefectClient, runs: list[UUID]) -> int:
    """Artifacts do not go with their run: the server would keep them for ever."""
    of_runs = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=runs))
    deleted = 0
    while artifacts := await client.read_artifacts(artifact_filter=of_runs):
        for artifact in artifacts:
            await client.delete_artifact(artifact.id)
        deleted += len(artifacts)
    return deleted


async def _delete_task_runs(client: PrefectClient, before: datetime) -> int:
    going_on = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING])),
    )
    ended = TaskRunFilter(end_time=TaskRunFilterEndTime(before_=prefect_time(before)))
    deleted = 0
    while tasks := await client.read_task_runs(flow_run_filter=going_on, task_run_filter=ended):
        for run in tasks:
            await client.request("DELETE", "/task_runs/{id}", path_params={"id": run.id})
            progressed()
        deleted += len(tasks)
    return deleted

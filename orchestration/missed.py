"""Missed runs: due times without a run, because server or worker were away. The newest one is run.

Prefect plans three runs ahead, from the present on. After a longer outage nothing stands for the newest due time; and
registering a deployment deletes what is planned, so that a due time a few seconds later is passed over.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from cronsim import CronSim
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterName,
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterExpectedStartTime,
)
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule
from prefect.states import Scheduled

from orchestration.declared import declared
from orchestration.prefect_time import prefect_time

_SCHEDULER_PLANS_WITHIN = timedelta(seconds=20)  # of its own accord: five, after a deployment was registered


async def plan_missed(now: datetime) -> list[str]:
    """Plan a run for each deployment whose newest due time has none; returns the deployments' names.

    A deployment that has never run has missed nothing, nor has one whose schedule is switched off.
    """
    planned = []
    scheduled = [entry["name"] for entry in declared() if entry["schedules"]]
    async with get_client() as client:
        chosen = DeploymentFilter(name=DeploymentFilterName(any_=scheduled))
        for deployment in await client.read_deployments(deployment_filter=chosen):
            due = newest_due(deployment, now - _SCHEDULER_PLANS_WITHIN)
            if due is None or await _runs(client, deployment, due, now):
                continue
            if await _runs(client, deployment, None, due):
                await client.create_flow_run_from_deployment(
                    deployment.id,
                    state=Scheduled(scheduled_time=due, message="It was due while no worker ran"),
                    idempotency_key=f"missed {deployment.id} {due.isoformat()}",
                )
                planned.append(deployment.name)
    return planned


def newest_due(deployment: DeploymentResponse, before: datetime) -> datetime | None:
    """The last due time of the deployment's schedules; None where none is switched on."""
    crons = [
        entry.schedule
        for entry in deployment.schedules
        if entry.active and isinstance(entry.schedule, CronSchedule)
    ]
    if deployment.paused or not crons:
        return None
    # all of prefect.yaml are in UTC
    return max(next(CronSim(schedule.cron, before, reverse=True)) for schedule in crons)


async def _runs(
    client: PrefectClient, deployment: DeploymentResponse, since: datetime | None, until: datetime
) -> list[FlowRun]:
    """A run of the span, whatever became of it."""
    chosen = FlowRunFilter(
        deployment_id=FlowRunFilterDeploymentId(any_=[deployment.id]),
        expected_start_time=FlowRunFilterExpectedStartTime(
            after_=prefect_time(since) if since else None, before_=prefect_time(until)
        ),
    )
    return await client.read_flow_runs(flow_run_filter=chosen, limit=1)

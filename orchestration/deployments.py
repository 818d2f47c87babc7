"""The deployments of prefect.yaml, registered and served without a work pool."""

from __future__ import annotations

import asyncio
import importlib
from typing import Any

from prefect import Flow
from prefect.client.schemas.objects import ConcurrencyLimitConfig
from prefect.deployments.runner import RunnerDeployment
from prefect.runner import Runner
from prefect.types.entrypoint import EntrypointType

from eightbells.strategies.evaluation import code_version
from orchestration.declared import declared
from orchestration.planning import keep_planning

__all__ = ["declared", "flow_of", "register", "serve"]

SAME_TIME = 4  # flow runs at once; each takes about 100 MB
LOOK_EVERY_SECONDS = 3.0  # for runs started by hand: a halt from the UI does not wait for Prefect's usual ten


def flow_of(entry: dict[str, Any]) -> Flow[..., Any]:
    """The flow that an entry's entrypoint names."""
    module, _, name = entry["entrypoint"].rpartition(".")
    flow: Flow[..., Any] = getattr(importlib.import_module(module), name)
    return flow


async def register() -> list[RunnerDeployment]:
    """Make every deployment known to the Prefect server, as prefect.yaml declares it."""
    deployments = [await _deployment(entry) for entry in declared()]
    for deployment in deployments:
        await deployment.aapply()
    return deployments


async def serve() -> None:
    """Register the deployments and run what is scheduled or started by hand, until cancelled."""
    runner = Runner(
        name="eightbells", limit=SAME_TIME, query_seconds=LOOK_EVERY_SECONDS, pause_on_shutdown=False
    )
    for entry in declared():
        await runner.aadd_deployment(await _deployment(entry))
    planning = asyncio.create_task(keep_planning())
    try:
        await runner.start()
    finally:
        planning.cancel()


async def _deployment(entry: dict[str, Any]) -> RunnerDeployment:
    limit = entry.get("concurrency_limit")
    return await flow_of(entry).ato_deployment(
        name=entry["name"],
        description=entry["description"],
        tags=entry["tags"],
        version=code_version(),
        parameters=entry["parameters"],
        schedules=[{"schedule": schedule_of(item)} for item in entry["schedules"]] or None,
        concurrency_limit=ConcurrencyLimitConfig(**limit) if limit else None,
        entrypoint_type=EntrypointType.MODULE_PATH,  # a path would be relative to the current folder
    )


def schedule_of(item: dict[str, Any]) -> Any:
    from prefect.client.schemas.schedules import CronSchedule

    return CronSchedule(cron=item["cron"], timezone=item["timezone"])

"""Newer runs: after an outage all missed runs start at once, and only the newest one works."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.context import FlowRunContext

from orchestration.prefect_time import prefect_time

ATTEMPT = "attempt-"  # how the tag of such an attempt begins
_FAILED = [StateType.FAILED, StateType.CRASHED, StateType.CANCELLED, StateType.CANCELLING]


async def newer_run() -> FlowRun | None:
    """The run that is due after this one already and does the same work; None where this one is the newest.

    The schedule is held against itself, by the Prefect server's clock alone: neither the exchange's clock nor the
    length of a candle has a say in which run is the newest. A run that failed or was cancelled does not count.
    """
    context = FlowRunContext.get()
    own = context.flow_run if context else None
    if own is None or own.deployment_id is None or own.expected_start_time is None:
        return None
    later = FlowRunFilter(
        deployment_id=FlowRunFilterDeploymentId(any_=[own.deployment_id]),
        expected_start_time=FlowRunFilterExpectedStartTime(
            after_=own.expected_start_time,
            before_=prefect_time(datetime.now(UTC)),
        ),
        state=FlowRunFilterState(type=FlowRunFilterStateType(not_any_=_FAILED)),
    )
    async with get_client() as client:
        found = await client.read_flow_runs(flow_run_filter=later)
    due = own.expected_start_time
    return next((run for run in found if _is_after(run, due) and not _is_chosen(run.parameters)), None)


def is_of_schedule() -> bool:
    """Whether the schedule started the present run, or the worker did after an earlier attempt of it failed."""
    context = FlowRunContext.get()
    own = context.flow_run if context else None
    return own is not None and (own.auto_scheduled or any(tag.startswith(ATTEMPT) for tag in own.tags))


def _is_after(run: FlowRun, due: datetime) -> bool:
    return run.expected_start_time is not None and run.expected_start_time > due


def _is_chosen(parameters: dict[str, Any]) -> bool:
    """Whether somebody has chosen what the run is to do: it does not do what the scheduled one would."""
    return bool(parameters.get("candle") or parameters.get("symbols")) or not parameters.get("trade", True)

"""Failed cycles: a scheduled cycle that failed or crashed is restarted while its candle may be traded."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from uuid import UUID

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import LogCreate
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterExpectedStartTime,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.states import Scheduled

from orchestration.missed import newest_due
from orchestration.newer_run import ATTEMPT
from orchestration.prefect_time import prefect_time

_CYCLE = "four-hour-cycle/four-hour-cycle"
# From the end of an attempt to the next start. A cycle that ran before has placed its orders: it places none twice.
WAITS = [timedelta(minutes=minutes) for minutes in (1, 2, 4, 8)]


async def start_failed_again(now: datetime, fresh_for: timedelta) -> str:
    """Start the cycle that was due last again, if every attempt failed or crashed and the wait is over.

    A run that somebody cancelled stays cancelled, and runs that somebody started are left to that person.

    Args:
        fresh_for: how long after its close a candle is traded.

    Returns:
        What was started and why, in a sentence; empty if nothing was.
    """
    async with get_client() as client:
        deployment = await client.read_deployment_by_name(_CYCLE)
        due = newest_due(deployment, now)
        if due is None or now >= due + fresh_for:
            return ""
        attempts = await _attempts(client, deployment.id, due)
        if (last := to_follow(attempts, now)) is None:
            return ""
        words = _words(last, len(attempts))
        run = await client.create_flow_run_from_deployment(
            deployment.id,
            state=Scheduled(scheduled_time=due, message=words),
            tags=[f"{ATTEMPT}{len(attempts) + 1}"],
            idempotency_key=f"again {deployment.id} {due.isoformat()} {len(attempts)}",
        )
        await client.create_logs([_log_entry(run.id, words, now)])
        return words


async def _attempts(client: PrefectClient, deployment: UUID, due: datetime) -> list[FlowRun]:
    """The scheduled run of a due time, and those that followed it."""
    chosen = FlowRunFilter(
        deployment_id=FlowRunFilterDeploymentId(any_=[deployment]),
        expected_start_time=FlowRunFilterExpectedStartTime(
            after_=prefect_time(due), before_=prefect_time(due)
        ),
    )
    return await client.read_flow_runs(flow_run_filter=chosen)


def to_follow(attempts: list[FlowRun], now: datetime) -> FlowRun | None:
    """The last of the attempts, if another one is to follow it now."""
    if not 0 < len(attempts) <= len(WAITS):
        return None
    if any(_state(run).type not in (StateType.FAILED, StateType.CRASHED) for run in attempts):
        return None
    last = max(attempts, key=lambda run: _state(run).timestamp)
    return last if now >= _state(last).timestamp + WAITS[len(attempts) - 1] else None


def _words(last: FlowRun, count: int) -> str:
    state = _state(last)
    why = (state.message or "no reason was given").strip().splitlines()[0][:300]
    return (
        f"attempt {count + 1} of {len(WAITS) + 1}: the run '{last.name}' {state.type.value.lower()} "
        f"at {state.timestamp:%H:%M:%S} UTC: {why}"
    )


def _log_entry(run: UUID, words: str, now: datetime) -> LogCreate:
    return LogCreate(
        name=__name__, level=logging.WARNING, message=words, timestamp=prefect_time(now), flow_run_id=run
    )


def _state(run: FlowRun) -> State[object]:
    assert run.state is not None
    return run.state

"""Steps of the product run as Prefect runs them, and what its API has kept of their task runs."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from prefect import flow
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas import State
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.exceptions import ObjectNotFound
from prefect.runtime import flow_run

from tasks.session import Session, open_session

Step = Callable[[Session], Awaitable[list[State[Any]]]]
_PATIENCE = 60.0


@dataclass(frozen=True)
class Wait:
    """A wait as its state shows it."""

    seconds: float
    message: str


@dataclass(frozen=True)
class TaskHistory:
    """The states of one task run in their order."""

    states: list[State[Any]]

    @property
    def names(self) -> list[str]:
        """Their names, without the Pending that every task begins with."""
        return [str(state.name) for state in self.states if state.name != "Pending"]

    def is_whole(self, runs: int) -> bool:
        """Whether nothing is missing between its beginning and its end, for a task that ran so often."""
        names = self.names
        counted = [names.count(name) for name in ("Running", "AwaitingRetry", "Retrying")]
        return counted == [1, runs - 1, runs - 1]

    @property
    def waits(self) -> list[Wait]:
        found = []
        for state in self.states:
            if state.name == "AwaitingRetry":
                until = state.state_details.scheduled_time
                assert until is not None
                found.append(Wait((until - state.timestamp).total_seconds(), str(state.message)))
        return found

    @property
    def said(self) -> str:
        """What the last state says."""
        return str(self.states[-1].message)


def retried(times: int, end: str = "Completed") -> list[str]:
    """The names of the states of a task that was tried again so many times."""
    return ["Running", *["AwaitingRetry", "Retrying"] * times, end]


def run(step: Step) -> list[TaskHistory]:
    """Run tasks in a flow with a session; the histories of those whose final states the step returns."""
    return asyncio.run(_run(step))


async def _run(step: Step) -> list[TaskHistory]:
    states: list[State[Any]] = []

    @flow(name="a test's flow")
    async def whole() -> None:
        async with open_session() as session:
            states.extend(await step(session))

    await whole()
    async with get_client() as client:
        runs = [state.state_details.task_run_id for state in states]
        return await asyncio.gather(*(_history(client, run) for run in runs if run is not None))


def first_wait(step: Step) -> Wait:
    """Run a step until one of its tasks waits to be tried again, and no longer."""
    return asyncio.run(_first_wait(step))


async def _first_wait(step: Step) -> Wait:
    runs: list[UUID] = []

    @flow(name="a test's flow that is left")
    async def whole() -> None:
        runs.append(UUID(flow_run.get_id()))
        async with open_session() as session:
            await step(session)

    running = asyncio.create_task(whole())
    try:
        async with get_client() as client, asyncio.timeout(_PATIENCE):
            while True:
                await asyncio.sleep(0.05)
                of_flow = FlowRunFilter(id=FlowRunFilterId(any_=runs))
                for task in await client.read_task_runs(flow_run_filter=of_flow) if runs else []:
                    history = TaskHistory(await client.read_task_run_states(task.id))
                    if history.waits:
                        return history.waits[0]
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def _history(client: PrefectClient, run: UUID) -> TaskHistory:
    """Task runs are recorded from events: a moment later, and not always in their order."""
    async with asyncio.timeout(_PATIENCE):
        for looks in itertools.count(1):
            with suppress(ObjectNotFound):
                times = (await client.read_task_run(run)).run_count
                states = await client.read_task_run_states(run)
                history = TaskHistory(sorted(states, key=lambda state: state.timestamp))
                if any(state.is_final() for state in states) and history.is_whole(times):
                    return history
            await asyncio.sleep(min(0.05 * looks, 0.3))
    raise AssertionError("it never ends")

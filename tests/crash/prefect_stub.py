"""The product's tasks without Prefect's engine: their bodies are called, and a retry they ask for is obeyed.

What is stood in for is only the engine and its API. Flows, tasks and everything beneath them are the product's own.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import inspect
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

from prefect.client.schemas import State
from prefect.tasks import Task

MODULES = (
    "tasks.candles",
    "tasks.orders",
    "tasks.trading",
    "tasks.halting",
    "tasks.selling",
    "tasks.reports",
    "tasks.session",
    "orchestration.retries",
    "flows.four_hour_cycle",
    "flows.reconcile",
    "flows.halt",
    "flows.sell",
    "flows.pause",
    "flows.resume",
    "tasks.pausing",
    "flows.adopt",
    "tasks.adopting",
)
Wait = Callable[[float], Awaitable[None]]
_attempt: ContextVar[int] = ContextVar("_attempt", default=1)


class _TaskRun:
    """In the place of `prefect.runtime.task_run`."""

    @staticmethod
    def get_run_count() -> int:
        return _attempt.get()


class _FlowRun:
    """In the place of `prefect.runtime.flow_run`, as far as a session asks it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def get_id(self) -> str:
        return self._name


def obeyed(task: Task[Any, Any], wait: Wait) -> Callable[..., Any]:
    """A task's body; where it answers with a state that asks to be run again later, it is."""
    body = task.fn
    if not inspect.iscoroutinefunction(body):
        return body

    @functools.wraps(body)
    async def run(*args: Any, **kwargs: Any) -> Any:
        outer = _attempt.set(1)
        try:
            while isinstance(answer := await body(*args, **kwargs), State):
                assert answer.is_scheduled(), answer
                due = answer.state_details.scheduled_time
                assert due is not None
                await wait(max(0.0, (due - datetime.now(UTC)).total_seconds()))
                _attempt.set(_attempt.get() + 1)
            return answer
        finally:
            _attempt.reset(outer)

    return run


async def _unpublished(*_: Any, **__: Any) -> None:
    """Artifacts go nowhere; the reports that would be in them are made all the same."""


@contextmanager
def without_prefect(run: str, wait: Wait = asyncio.sleep) -> Iterator[None]:
    """Let flows and tasks run by themselves, as the flow run of that name; `wait` lies between attempts."""
    changed: list[tuple[ModuleType, str, Any]] = []

    def put(module: ModuleType, name: str, value: Any) -> None:
        changed.append((module, name, getattr(module, name)))
        setattr(module, name, value)

    bodies: dict[int, Callable[..., Any]] = {}
    for name in MODULES:
        importlib.import_module(name)
    # with all that they import: one task of Prefect's own would start a server of its own
    for module in [it for name, it in sys.modules.items() if name.startswith(("tasks.", "flows."))]:
        for name, value in list(vars(module).items()):
            step = getattr(value, "task", value)  # a step keeps the task it calls
            if isinstance(step, Task):
                put(module, name, bodies.setdefault(id(step), obeyed(step, wait)))
    put(importlib.import_module("tasks.session"), "flow_run", _FlowRun(run))
    put(importlib.import_module("orchestration.retries"), "task_run", _TaskRun)
    put(importlib.import_module("tasks.reports"), "acreate_markdown_artifact", _unpublished)
    put(importlib.import_module("tasks.documenting"), "acreate_link_artifact", _unpublished)
    try:
        yield
    finally:
        for module, name, value in reversed(changed):
            setattr(module, name, value)

"""Time limits of flows and tasks: what takes longer is cancelled in order, and its error names the setting.

Prefect's own `timeout_seconds` is fixed when a module is imported, and cancels every `await` of the clean-up too.
"""

from __future__ import annotations

import asyncio
import faulthandler
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from typing import Any, Literal, ParamSpec, TypeVar

from eightbells.errors import EightbellsError
from eightbells.settings import LimitSettings

P = ParamSpec("P")
R = TypeVar("R")
FlowLimit = Literal["flow_seconds", "backfill_seconds"]

LAST_RESORT_SECONDS = 60.0  # after its limit, a flow that cannot be cancelled ends its process
_STANDARD_ERROR = 2
_LIMITS: ContextVar[LimitSettings] = ContextVar("_LIMITS", default=LimitSettings())  # noqa: B039  it is frozen
_PROGRESS: ContextVar[Callable[[], None] | None] = ContextVar("_PROGRESS", default=None)


class TookTooLong(EightbellsError):
    """A flow or a task was cancelled at its limit."""


@asynccontextmanager
async def flow_limit(limits: LimitSettings, setting: FlowLimit = "flow_seconds") -> AsyncIterator[None]:
    """Cancel what is inside at the limit of a flow, and let its tasks know theirs.

    A run that does not end then blocks its event loop, on a socket or a lock: its process is killed, so that the next
    run can start. Orders are safe under that.

    Raises:
        TookTooLong: the limit was reached.
    """
    seconds: float = getattr(limits, setting)
    before = _LIMITS.set(limits)
    faulthandler.dump_traceback_later(seconds + LAST_RESORT_SECONDS, exit=True, file=_STANDARD_ERROR)
    try:
        async with _cancelled_after(seconds, "the run", setting):
            yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        _LIMITS.reset(before)


def limited(body: Callable[P, Awaitable[R]]) -> Callable[P, Coroutine[Any, Any, R]]:
    """Cancel an attempt of a task that makes no progress for `limits.task_seconds`.

    Raises:
        TookTooLong: the limit was reached. The task is not tried again.
    """

    @functools.wraps(body)
    async def attempt(*args: P.args, **kwargs: P.kwargs) -> R:
        seconds = _LIMITS.get().task_seconds
        loop = asyncio.get_running_loop()
        async with _cancelled_after(seconds, f"task {body.__name__}", "task_seconds") as timeout:

            def extend() -> None:
                with suppress(RuntimeError):  # it is over
                    timeout.reschedule(loop.time() + seconds)

            def note() -> None:
                loop.call_soon_threadsafe(extend)

            before = _PROGRESS.set(note)
            try:
                return await body(*args, **kwargs)
            finally:
                _PROGRESS.reset(before)

    attempt.is_limited = True  # type: ignore[attr-defined]
    return attempt


def progressed() -> None:
    """Let the time of the running task begin again, from any thread."""
    if note := _PROGRESS.get():
        note()


@asynccontextmanager
async def _cancelled_after(seconds: float, what: str, setting: str) -> AsyncIterator[asyncio.Timeout]:
    timeout = asyncio.timeout(seconds)
    try:
        async with timeout:
            yield timeout
    except TimeoutError:
        if not timeout.expired():  # it is somebody else's
            raise
        raise TookTooLong(
            f"{what} took longer than {seconds:g} s and was cancelled (limits.{setting})"
        ) from None

"""Our own orders and fills from the user stream, booked as they come."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from eightbells.exchange.models import OrderReport
from eightbells.exchange.user_stream import user_events
from eightbells.runtime import Runtime
from eightbells.stream.engine import usual_pace
from eightbells.stream.rest_catch_up import DATABASE_AWAY

_AGAIN_SECONDS = 0.5


async def book_fills(
    runtime: Runtime,
    settle: Callable[[], Awaitable[list[str]]],
    moved: asyncio.Event,
    warn: Callable[[str], None],
) -> None:
    """Book our fills as they happen.

    Args:
        settle: asks for what happened while the stream was lost.
        moved: is set when one of our orders has moved.
    """
    events = user_events(
        runtime.settings.ws_api_url,
        runtime.gateway.signed_subscription,
        lambda reason: warn(f"user stream lost: {reason}"),
        usual_pace(runtime),
    )
    async for report in events:
        try:
            if report is None:
                for problem in await settle():
                    warn(f"could not update an order: {problem}")
                moved.set()
            elif await _book(runtime, report, warn):
                moved.set()
        except Exception as error:  # the books say that the order is not settled: whoever looks next asks
            warn(f"could not update an order: {error}")


async def _book(runtime: Runtime, report: OrderReport, warn: Callable[[str], None]) -> bool:
    """Book one report; while Postgres is away, wait for it. Returns whether it is about an order of ours."""
    while True:
        try:
            return await asyncio.to_thread(runtime.executor.take_report, report) is not None
        except DATABASE_AWAY as error:
            warn(f"a fill waits for Postgres: {str(error).splitlines()[0]}")
            await asyncio.sleep(_AGAIN_SECONDS)

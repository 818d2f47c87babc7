"""Our own orders and fills as the exchange tells them, booked as they come."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from eightbells.exchange.models import OrderReport
from eightbells.exchange.user_stream import user_events
from tasks.catching_up import DATABASE_AWAY
from tasks.orders import desk_of
from tasks.session import Session
from tasks.streaming import usual_pace

_AGAIN_SECONDS = 0.5


async def follow_orders(
    session: Session, settle: Callable[[], Awaitable[list[str]]], warn: Callable[[str], None]
) -> None:
    """Book our fills as they happen; what happened while nobody listened is asked for by `settle`."""
    events = user_events(
        session.settings.ws_api_url, session.gateway.signed_subscription,
        lambda reason: warn(f"user stream lost: {reason}"), usual_pace(session),
    )  # fmt: skip
    async for report in events:
        try:
            if report is None:
                for problem in await settle():
                    warn(f"could not follow an order: {problem}")
            else:
                await _book(session, report, warn)
        except Exception as error:  # the books say that the order is not settled: whoever looks next asks
            warn(f"could not follow an order: {error}")


async def _book(session: Session, report: OrderReport, warn: Callable[[str], None]) -> None:
    """Book one report; while Postgres is away, wait for it."""
    while True:
        try:
            await asyncio.to_thread(desk_of(session).take_report, report)
            return
        except DATABASE_AWAY as error:
            warn(f"a fill waits for Postgres: {str(error).splitlines()[0]}")
            await asyncio.sleep(_AGAIN_SECONDS)

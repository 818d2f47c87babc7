"""The stream: closed candles as they happen, for as long as the process lives."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas import State
from prefect.states import Completed

from tasks.candles import refresh_rules
from tasks.session import open_session
from tasks.streaming import claim, keep_stream


@flow(name="stream", flow_run_name="stream of closed candles")
async def stream() -> State[Any] | None:
    """Take closed candles from the exchange's streams and store them through the same proof as the cycle's.

    What a lost connection or a silent stream misses is fetched over REST. There is at most one stream an account:
    a second one ends at once. It does not end by itself.
    """
    async with open_session() as session:
        with session.engine.connect() as guard:
            if not claim(guard, session.settings.account):
                return Completed(name="AlreadyRunning", message="another stream holds this account")
            universe = await refresh_rules(session, session.settings.symbols)
            await keep_stream(session, universe.symbols)
    return None

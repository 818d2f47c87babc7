"""The stream: closed candles and our own fills as they happen, for as long as the process lives."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas import State
from prefect.states import Completed

from flows.close import trade_on_close
from tasks.candles import refresh_rules
from tasks.session import open_session
from tasks.streaming import Stream, claim


@flow(name="stream", flow_run_name="stream")
async def stream() -> State[Any] | None:
    """Take closed candles and our own fills from the exchange's streams, through the same proof as the cycle's.

    What a lost connection or a silent stream misses is fetched over REST. There is at most one stream an account:
    a second one ends at once. It does not end by itself.
    """
    async with open_session() as session:
        with session.engine.connect() as guard:
            if not claim(guard, session.settings.account):
                return Completed(name="AlreadyRunning", message="another stream holds this account")
            universe = await refresh_rules(session, session.settings.symbols)
            trading = session.settings.stream.trade_on_close
            await Stream(session, universe.symbols, trade_on_close(session) if trading else None).run()
    return None

"""Steps of runs that share a history: further runs are started, and each loads what no other one has claimed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectException
from prefect.runtime import deployment
from sqlalchemy import text

from eightbells.candles.claims import Claims
from eightbells.candles.timeframe import Timeframe
from eightbells.errors import EightbellsError
from orchestration.exchange_task import limited_task
from tasks.session import Session

JOINED = "joined"  # the tag of a run that another one has started to share its symbols
_ROUNDS = 8  # groups that each run loads: the more, the less is left to one run at the end
_LOOK_SECONDS = 1.0  # between two looks at what other runs have claimed


@limited_task("start {count} further runs")
async def start_runs(count: int, parameters: dict[str, Any]) -> None:
    """Start runs of this run's deployment, for its workers to take.

    Raises:
        EightbellsError: this run belongs to no deployment, or the Prefect server refuses.
    """
    own = deployment.get_id()
    if own is None:
        raise EightbellsError(
            "only a run of the deployment 'backfill' can start further runs: start it in Prefect"
        )
    try:
        async with get_client() as client:
            for _ in range(count):
                await client.create_flow_run_from_deployment(UUID(own), parameters=parameters, tags=[JOINED])
    except PrefectException as error:
        raise EightbellsError(f"the further runs could not be started: {error}") from error


async def groups(
    session: Session, symbols: Sequence[str], timeframe: Timeframe, runs: int
) -> AsyncGenerator[tuple[str, ...]]:
    """The symbols in groups, each claimed until the next one is asked for.

    Ends when this run has had every symbol: one that another run loads is waited for. It is complete then, or its run
    has ended before and it is loaded here.

    Args:
        runs: how many runs share the symbols; one has them all at once.
    """
    if runs == 1:
        yield tuple(symbols)
        return
    left, most = list(symbols), max(1, len(symbols) // (runs * _ROUNDS))
    with Claims(session.engine, timeframe) as claims:
        while left:
            group = claims.take(left, most)
            if not group:
                await asyncio.sleep(_LOOK_SECONDS)
                continue
            yield tuple(group)
            claims.release(group)
            left = [symbol for symbol in left if symbol not in group]


def moment(session: Session) -> datetime:
    """The time of the database."""
    with session.engine.connect() as connection:
        found: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    return found

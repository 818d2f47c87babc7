"""Replay: yesterday's decisions, made again by today's code from the candles that were known then."""

from __future__ import annotations

from datetime import date, timedelta

from prefect import flow

from eightbells.candles import grid
from eightbells.errors import EightbellsError
from eightbells.strategies.replay import Replayed
from tasks.replaying import decide_again, publish_replayed
from tasks.session import open_session


@flow(name="replay", flow_run_name="replay of {day}")
async def replay(day: date | None = None) -> list[Replayed]:
    """Make the decisions of a day again, and fail where one differs: the code or the candles are not what they were.

    Its artifact is `replay`, with every difference.

    Args:
        day: The day whose candles count, UTC. None: yesterday.
    """
    async with open_session() as session:
        chosen = day or grid.to_time(session.now_ms).date() - timedelta(days=1)
        found = await decide_again(session, chosen)
        await publish_replayed(found, chosen)
    differing = [it for it in found if not it.equal]
    if differing:
        raise EightbellsError(
            f"{len(differing)} of {len(found)} decisions of {chosen} differ when they are made again, such as "
            f"{differing[0].line}"
        )
    return found

"""Steps that make past decisions again and tell which differ."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta

from prefect.artifacts import acreate_markdown_artifact, acreate_table_artifact

from eightbells.strategies.replay import Replayed, replay_between
from orchestration.exchange_task import limited_task
from orchestration.limits import progressed
from tasks.session import Session


@limited_task("decide again what was decided on {day}")
async def decide_again(session: Session, day: date) -> list[Replayed]:
    """Make the decisions of a day's candles again. Those of strategies that left the settings are passed over."""
    since = datetime(day.year, day.month, day.day, tzinfo=UTC)
    names = [entry.name for entry in session.settings.strategies]

    def replayed() -> list[Replayed]:
        found = []
        with session.engine.connect() as connection:
            for one in replay_between(connection, session.settings, since, since + timedelta(days=1), names):
                found.append(one)
                progressed()
        return found

    return await asyncio.to_thread(replayed)


@limited_task("report of the replay")
async def publish_replayed(found: list[Replayed], day: date) -> None:
    """Publish every difference: what it was, and what it is now."""
    rows = [
        {
            "evaluation": str(it.evaluation), "strategy": it.strategy, "symbol": it.symbol, "candle": it.candle,
            "what": what, "was": was, "is now": now,
        }
        for it in found
        for what, was, now in it.differences
    ]  # fmt: skip
    differing = sum(not it.equal for it in found)
    said = f"{len(found)} decisions of {day} made again: {differing} differ"
    if rows:
        await acreate_table_artifact(rows, key="replay", description=said)
    else:
        await acreate_markdown_artifact(f"# {said}", key="replay", description=said)

"""Quarantine: release or dismiss rows that failed validation."""

from __future__ import annotations

from typing import Literal

from prefect import flow

from tasks.deciding import decide_on_rows
from tasks.session import unset_session


@flow(name="quarantine", flow_run_name="{action}: {reason}")
async def quarantine(
    action: Literal["release", "dismiss"], numbers: list[int], reason: str, by: str = "the Prefect UI"
) -> list[str]:
    """Decide on rows in quarantine, all of them or none.

    A released row is stored as a candle. Only duplicates and rows that were not asked for can be released. A dismissed
    row no longer keeps its slot open.

    Args:
        action: release stores the rows, dismiss leaves them out for good.
        numbers: Their numbers, as `eightbells quarantine list` shows them.
        reason: Why, for the record.
        by: Who decides, for the record.
    """
    async with unset_session() as session:
        return await decide_on_rows(session, action, numbers, reason, by)

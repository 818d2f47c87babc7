"""The step by which a person decides on quarantined rows."""

from __future__ import annotations

from eightbells import quarantine
from orchestration.exchange_task import limited_task
from tasks.session import Session


@limited_task("{action} rows in quarantine")
async def decide_on_rows(
    session: Session, action: quarantine.Action, numbers: list[int], reason: str, by: str
) -> list[str]:
    """Release or dismiss rows; returns a line per row."""
    return quarantine.decide(session.engine, session.settings.account, action, numbers, reason, by)

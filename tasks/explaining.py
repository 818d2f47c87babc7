"""Steps by which a person explains what holds a symbol."""

from __future__ import annotations

from eightbells.trading import explanations
from orchestration.exchange_task import exchange_task
from tasks.session import Session


@exchange_task("book the split of {symbol}")
async def book_split(session: Session, symbol: str, ratio: str, reason: str, by: str) -> str:
    """Scale the positions in a symbol whose coins were exchanged; returns a line that says so."""
    booked = await explanations.book_split(
        session.settings, session.engine, session.gateway, symbol, explanations.ratio_of(ratio), reason, by
    )
    return booked.words


@exchange_task("confirm {symbol}")
async def confirm_symbol(session: Session, symbol: str, reason: str, by: str) -> str:
    """Release a symbol's holds; returns a line that says so."""
    return explanations.confirm(session.engine, session.settings.account, symbol, reason, by, session.now_ms)

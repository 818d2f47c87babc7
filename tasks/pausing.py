"""Steps that pause a strategy, and let it go on."""

from __future__ import annotations

from eightbells.trading import pauses
from orchestration.exchange_task import limited_task
from tasks.selling import cancel_open
from tasks.session import Session


@limited_task("pause {strategy}")
async def pause_strategy(session: Session, strategy: str, symbol: str | None, reason: str, by: str) -> None:
    """Let a strategy buy nothing; with the next order of any process it holds."""
    with session.engine.begin() as connection:
        pauses.pause(connection, session.settings, strategy, symbol, reason, by)


@limited_task("resume {strategy}")
async def resume_strategy(session: Session, strategy: str, symbol: str | None, reason: str, by: str) -> None:
    """Let a strategy buy again."""
    with session.engine.begin() as connection:
        pauses.resume(connection, session.settings.account, strategy, symbol, reason, by)


async def cancel_purchases(session: Session, strategy: str, symbol: str | None) -> list[str]:
    """Cancel a strategy's open purchases. Returns what could not be cancelled, in words."""
    return await cancel_open(
        session,
        lambda it: it.side == "BUY" and it.strategy == strategy and symbol in (None, it.symbol),
        selling=False,
    )

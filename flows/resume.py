"""Resume: let a paused strategy buy again, or switch trading on."""

from __future__ import annotations

from prefect import flow
from prefect.runtime import flow_run

from eightbells.errors import EightbellsError
from eightbells.settings.symbols import one_symbol
from tasks.halting import switch
from tasks.pausing import resume_strategy
from tasks.session import unset_session


def _run_name() -> str:
    given = flow_run.parameters
    return f"{given.get('strategy') or 'trading'}: {given.get('reason')}"


@flow(name="resume", flow_run_name=_run_name)
async def resume(
    strategy: str | None = None,
    symbol: str | None = None,
    reason: str = "by hand",
    by: str = "the Prefect UI",
) -> None:
    """Let a paused strategy buy again, or switch trading on.

    What keeps a strategy from buying after a sale by hand ends, too.

    Args:
        strategy: Its name in the settings. None: switch trading on for the whole account.
        symbol: Only this symbol, such as BTCUSDT. None: all that it trades.
        reason: Why, for the record.
        by: Who resumes it, for the record.
    """
    chosen = one_symbol(symbol)
    if chosen and not strategy:
        raise EightbellsError(f"name the strategy that is to buy {chosen} again")
    async with unset_session() as session:
        if not strategy:
            await switch(session, True, reason)
        else:
            await resume_strategy(session, strategy, chosen, reason, by)

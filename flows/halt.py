"""Halt: switch trading off at once, cancel what is open, and if wanted sell out."""

from __future__ import annotations

from typing import Literal

from prefect import flow

from tasks.halting import cancel_everything, sell_out, switch
from tasks.session import set_clock, unset_session


@flow(name="halt", flow_run_name="{action}: {reason}")
async def halt(
    action: Literal["halt", "resume"] = "halt", reason: str = "by hand", sell_everything: bool = False
) -> list[str]:
    """Switch trading off, or on again.

    Halting stops everything within one order and cancels the open orders; protective stops stay unless everything is
    sold. Halting again sells what an earlier halt could not.

    Args:
        action: halt switches trading off, resume switches it on.
        reason: Why, for the record.
        sell_everything: After halting, sell every position of the strategies at market.
    """
    async with unset_session() as session:
        await switch(session, action == "resume", reason)  # also while the exchange does not answer
        if action == "resume":
            return []
        await set_clock(session)
        problems = await cancel_everything(session)
        if sell_everything:
            problems += await sell_out(session)
        return problems

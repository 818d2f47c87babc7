"""Confirm: what a held symbol's price or balance shows is true, and it is traded again."""

from __future__ import annotations

from prefect import flow

from tasks.explaining import confirm_symbol
from tasks.session import open_session


@flow(name="confirm", flow_run_name="confirm {symbol}")
async def confirm(symbol: str, reason: str, by: str = "the Prefect UI") -> str:
    """Release a symbol's holds without booking anything.

    Args:
        symbol: The symbol, such as BTCUSDT.
        reason: What happened, for the record.
        by: Who says so, for the record.
    """
    async with open_session() as session:
        return await confirm_symbol(session, symbol, reason, by)

"""Pause: a strategy buys nothing until it is resumed; what it holds stays protected and may be sold."""

from __future__ import annotations

from prefect import flow

from eightbells.settings.symbols import one_symbol
from tasks.pausing import cancel_purchases, pause_strategy
from tasks.session import set_clock, unset_session


@flow(name="pause", flow_run_name="{strategy}: {reason}")
async def pause(
    strategy: str, reason: str, symbol: str | None = None, by: str = "the Prefect UI"
) -> list[str]:
    """Let a strategy buy nothing, and cancel its open purchases.

    It is asked on each candle as before, and its signals are recorded. Its positions keep their stops and are sold
    when it wants to be flat. Pausing again changes nothing.

    Args:
        strategy: Its name in the settings.
        reason: Why, for the record.
        symbol: Only this symbol, such as BTCUSDT. None: all that it trades.
        by: Who pauses it, for the record.
    """
    chosen = one_symbol(symbol)
    async with unset_session() as session:
        await pause_strategy(session, strategy, chosen, reason, by)  # also while the exchange does not answer
        await set_clock(session)
        return await cancel_purchases(session, strategy, chosen)

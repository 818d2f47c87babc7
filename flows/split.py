"""Split: book that a symbol's coins were exchanged for another number of them."""

from __future__ import annotations

from prefect import flow

from tasks.explaining import book_split
from tasks.session import open_session


@flow(name="split", flow_run_name="split {symbol}: {ratio} for 1")
async def split(symbol: str, ratio: str, reason: str, by: str = "the Prefect UI") -> str:
    """Book a redenomination or a split, and release the symbol's holds.

    Positions are scaled; what they have cost stays. Refused while orders of the symbol are open, and where the exchange
    holds fewer coins than the books then say.

    Args:
        symbol: The symbol, such as BTCUSDT.
        ratio: New coins for one old coin, such as 100 or 0.001.
        reason: What happened, for the record.
        by: Who says so, for the record.
    """
    async with open_session() as session:
        return await book_split(session, symbol, ratio, reason, by)

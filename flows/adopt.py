"""Adopt: make coins of the account a strategy's, because a person says so."""

from __future__ import annotations

from prefect import flow

from eightbells.settings.symbols import chosen
from tasks.adopting import adopt_coins
from tasks.orders import guard
from tasks.session import open_session


@flow(name="adopt", flow_run_name="{symbol} for {strategy}: {reason}")
async def adopt(
    symbol: str,
    strategy: str,
    reason: str,
    quantity: str | None = None,
    price: str | None = None,
    order: int | None = None,
    by: str = "the Prefect UI",
) -> str:
    """Make coins that no strategy has bought a strategy's. They count as bought at a price, and get their stop.

    Args:
        symbol: What is adopted, such as BTCUSDT.
        strategy: Whose it becomes. It must trade the symbol.
        reason: Where the coins come from, for the record.
        quantity: How many coins, such as 0.5. None: all that belong to no strategy.
        price: What one coin counts as, in the quote asset. None: the exchange's last price.
        order: The number of a purchase at the exchange that is not ours: its trades are quantity and price.
        by: Who adopts, for the record.
    """
    async with open_session() as session:
        told = await adopt_coins(session, chosen([symbol])[0], strategy, reason, quantity, price, order, by)
        return "; ".join([told, *await guard(session)])

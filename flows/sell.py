"""Sell: what is held of a symbol, at market and at once, because a person wants it."""

from __future__ import annotations

from prefect import flow

from eightbells.settings.symbols import chosen
from tasks.selling import Sale, begin_sale, sell_by_hand
from tasks.session import open_session


@flow(name="sell", flow_run_name="{symbol}: {reason}")
async def sell(
    symbol: str, reason: str, strategy: str | None = None, anyway: bool = False, by: str = "the Prefect UI"
) -> Sale:
    """Sell what the strategies hold of a symbol, at market.

    The sale goes out also while trading is halted, and of a strategy that is not in the settings any more. It takes
    the place of the stop. A strategy that still wants to hold the symbol does not buy it again until it was flat, or
    was resumed.

    Args:
        symbol: What to sell, such as BTCUSDT.
        reason: Why, for the record.
        strategy: Only what this strategy holds. None: what all of them hold.
        anyway: Sell although a drift or a hold of the symbol is open.
        by: Who sells, for the record.
    """
    async with open_session() as session:
        sale = await begin_sale(session, chosen([symbol])[0], strategy or None, reason, by, anyway)
        return Sale(sale.command, await sell_by_hand(session, sale))

"""The step by which a person makes coins a strategy's."""

from __future__ import annotations

from eightbells.trading import adoption
from eightbells.trading.adoption import Wanted, amount_of
from orchestration.exchange_task import exchange_task
from tasks.session import Session


@exchange_task("adopt {symbol}")
async def adopt_coins(
    session: Session,
    symbol: str,
    strategy: str,
    reason: str,
    quantity: str | None,
    price: str | None,
    order: int | None,
    by: str,
) -> str:
    """Book coins of the account as a strategy's; returns a line that says so."""
    wanted = Wanted(symbol, strategy, amount_of(quantity, "quantity"), amount_of(price, "price"), order)
    adopted = await adoption.adopt(session.settings, session.engine, session.gateway, wanted, reason, by)
    return adopted.words

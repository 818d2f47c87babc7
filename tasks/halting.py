"""Steps that stop: the switch, the cancelling of open orders, the selling of what is held."""

from __future__ import annotations

from eightbells.trading.lease import Lease
from eightbells.trading.sales import plan_sales
from eightbells.trading.switch import set_switch
from orchestration.exchange_task import limited_task
from tasks.selling import cancel_open, sell_at_market
from tasks.session import Session


@limited_task("turn the trading switch")
async def switch(session: Session, on: bool, reason: str) -> None:
    """Turn trading on or off; with the next order of any process it holds."""
    set_switch(session.engine, on, reason)


async def cancel_everything(session: Session, *, selling: bool = False) -> list[str]:
    """Cancel our open orders, but not the stops. Returns what could not be cancelled, in words.

    Args:
        selling: what the exchange is selling is cancelled too: the rest of it is sold at market.
    """
    return await cancel_open(session, lambda _: True, selling=selling)


async def sell_out(session: Session) -> list[str]:
    """Sell every position at market, as an order with its own leg under its last signal.

    The sale takes the place of a stop in one request: what the exchange does not sell stays protected. What it sells
    in parts is sold on.
    """
    return await sell_at_market(
        session,
        lambda lease: plan_sellout(session, lease),
        lambda: cancel_everything(session, selling=True),
    )


@limited_task("plan the sale of everything")
async def plan_sellout(session: Session, lease: Lease) -> list[int]:
    """Commit a MARKET sale for each position that the exchange would take, and of which no other sale is out."""
    with session.engine.begin() as connection:
        lease.require(connection)
        account, now, run = session.settings.account, session.now_ms, session.flow_run
        return plan_sales(connection, account, "sellout", now, run)

"""Steps that sell at market, at once: what is in the way is cancelled, and what is sold in parts is sold on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from eightbells.trading import outbox, sales
from eightbells.trading.lease import Lease, LeaseLost
from eightbells.trading.outbox import Order
from eightbells.trading.outcome import reasons
from eightbells.trading.sales import SaleByHand
from eightbells.trading.states import IN_FLIGHT, State
from orchestration.exchange_task import limited_task
from tasks.orders import (
    cancel_orders,
    guard_positions,
    send_orders,
    settle_order,
    settle_orders,
    trading_lease,
)
from tasks.session import Session

_MOST_ROUNDS = 12


@dataclass(frozen=True)
class Sale:
    """What came of a sale by hand: the number of its command, and what went wrong, in words."""

    command: int
    problems: list[str] = field(default_factory=list)


@limited_task("record the sale of {symbol}")
async def begin_sale(
    session: Session, symbol: str, strategy: str | None, reason: str, by: str, anyway: bool
) -> SaleByHand:
    """Record who sells what, and why; refused while a drift or a hold of the symbol is open."""
    with session.engine.begin() as connection:
        return sales.begin_sale(
            connection, session.settings.account, symbol, strategy, reason, by, anyway=anyway
        )


async def sell_by_hand(session: Session, sale: SaleByHand) -> list[str]:
    """Sell the positions of a sale by hand. Returns what is still held, and what went wrong, in words."""

    async def clear() -> list[str]:
        return await cancel_open(session, lambda it: (it.strategy, it.symbol) in sale.places, selling=True)

    problems = await sell_at_market(session, lambda lease: plan_sale(session, lease, sale), clear)
    with session.engine.connect() as connection:
        left = list(sales.saleable(connection, session.settings.account, sale.places))
    return problems or [
        f"{it.position.symbol} of {it.position.strategy} is still held: "
        f"`eightbells orders --symbol {it.position.symbol}` shows what became of its sale"
        for it in left
    ]


@limited_task("plan the sale by hand")
async def plan_sale(session: Session, lease: Lease, sale: SaleByHand) -> list[int]:
    """Commit a MARKET sale of each position, in place of its stop."""
    with session.engine.begin() as connection:
        lease.require(connection)
        account, now, run = session.settings.account, session.now_ms, session.flow_run
        return sales.plan_sales(connection, account, "manual", now, run, sale.places, sale.command)


async def sell_at_market(
    session: Session, plan: Callable[[Lease], Awaitable[list[int]]], clear: Callable[[], Awaitable[list[str]]]
) -> list[str]:
    """Plan and send sales until nothing is left to sell, then guard what stays. Returns what went wrong, in words.

    Args:
        plan: commits the orders; none where nothing is left.
        clear: takes out of the way what is open, and returns what could not be, in words.
    """
    try:
        async with trading_lease(session) as lease:
            for _ in range(_MOST_ROUNDS):
                problems = await clear()
                orders = await plan(lease)
                if not orders:
                    break
                problems += await send_orders(session, orders, lease)
                problems += await settle_orders(session)
                problems += _denied(session, orders)
                if problems:
                    break
            return problems + await guard_positions(session, lease)
    except LeaseLost as error:
        return [str(error)]


async def cancel_open(session: Session, chosen: Callable[[Order], bool], *, selling: bool) -> list[str]:
    """Cancel open orders, but not the stops and targets. Returns what could not be cancelled, in words.

    Args:
        selling: what the exchange is selling is cancelled too: the rest of it is sold at market. Of a stop in flight
            it is asked what became of it: the sale takes its place.
    """
    with session.engine.connect() as connection:
        live = [order for order in outbox.live(connection, session.settings.account) if chosen(order)]
    # what lies in one list with a stop would take the stop with it
    stops = [order for order in live if order.stop_price is not None or order.paired or order.leg == "target"]
    if selling:
        flying = [order for order in stops if order.state in IN_FLIGHT]
        await asyncio.gather(
            *(settle_order(session, order, f"{order.side} {order.symbol}", False) for order in flying),
            return_exceptions=True,
        )
    kept = [order for order in stops if not (selling and order.state is State.PARTIALLY_FILLED)]
    return await cancel_orders(session, [order for order in live if order not in kept])


def _denied(session: Session, orders: list[int]) -> list[str]:
    """Why orders were not sent, in words."""
    with session.engine.connect() as connection:
        denied = [order for order in outbox.load_all(connection, orders) if order.state is State.DENIED]
        why = reasons(connection, [order.id for order in denied])
    return [
        f"{order.side} {order.symbol} was not sent: {why.get(order.id, 'no longer wanted')}"
        for order in denied
    ]

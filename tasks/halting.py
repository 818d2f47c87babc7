"""Steps that stop: the switch, the cancelling of open orders, the selling of what is held."""

from __future__ import annotations

from sqlalchemy import text

from eightbells.candles import grid
from eightbells.exchange import rules
from eightbells.trading import ledger, outbox
from eightbells.trading.lease import Lease, LeaseLost
from eightbells.trading.sizing import Sized, of_owned, sellable
from eightbells.trading.states import State
from eightbells.trading.switch import set_switch
from tasks.exchange_task import limited_task
from tasks.orders import cancel_orders, guard_positions, send_orders, settle_orders, trading_lease
from tasks.session import Session

_MOST_ROUNDS = 12


@limited_task("turn the trading switch")
async def switch(session: Session, on: bool, reason: str) -> None:
    """Turn trading on or off; with the next order of any process it holds."""
    set_switch(session.engine, on, reason)


async def cancel_everything(session: Session, *, selling: bool = False) -> list[str]:
    """Cancel our open orders, but not the stops. Returns what could not be cancelled, in words.

    Args:
        selling: what the exchange is selling is cancelled too: the rest of it is sold at market.
    """
    with session.engine.connect() as connection:
        live = outbox.live(connection, session.settings.account)
    return await cancel_orders(
        session,
        [
            order
            for order in live
            if order.stop_price is None or (selling and order.state is State.PARTIALLY_FILLED)
        ],
    )


async def sell_out(session: Session) -> list[str]:
    """Sell every position at market, as an order with its own leg under its last signal.

    The sale takes the place of a stop in one request: what the exchange does not sell stays protected. What it sells
    in parts is sold on.
    """
    try:
        async with trading_lease(session) as lease:
            for _ in range(_MOST_ROUNDS):
                problems = await cancel_everything(session, selling=True)
                orders = await plan_sellout(session, lease)
                if not orders:
                    break
                problems += await send_orders(session, orders, lease)
                problems += await settle_orders(session)
                if problems:
                    break
            return problems + await guard_positions(session, lease)
    except LeaseLost as error:
        return [str(error)]


@limited_task("plan the sale of everything")
async def plan_sellout(session: Session, lease: Lease) -> list[int]:
    """Commit a MARKET sale for each position that the exchange would take, and of which no other sale is out."""
    planned: list[int | None] = []
    account, now, run = session.settings.account, session.now_ms, session.flow_run
    with session.engine.begin() as connection:
        lease.require(connection)
        sales = {
            (order.strategy, order.symbol): order
            for order in outbox.live(connection, account)
            if order.side == "SELL" and not order.yields
        }
        for position in ledger.positions(connection, account):
            last = connection.execute(
                text(
                    "SELECT s.id, s.price, e.strategy_version, e.open_time FROM signals AS s "
                    "INNER JOIN evaluations AS e ON s.evaluation_id = e.id WHERE e.account = :account "
                    "AND e.strategy = :strategy AND e.symbol = :symbol ORDER BY e.open_time DESC LIMIT 1"
                ),
                {"account": account, "strategy": position.strategy, "symbol": position.symbol},
            ).one()
            symbol_rules = rules.load(connection, position.symbol)
            quantity = symbol_rules and sellable(position.quantity, last.price, symbol_rules, market=True)
            if not quantity:
                continue
            identity = (position.strategy, last.strategy_version, position.symbol, grid.to_ms(last.open_time))
            sized = Sized("sellout", "SELL", quantity, None, basis=of_owned(position.quantity, quantity))
            attempt = outbox.next_attempt(connection, last.id, "sellout")
            sale = sales.get((position.strategy, position.symbol))
            planned.append(
                outbox.plan(connection, account, last.id, identity, sized, now, run, attempt, sale)
            )
    return [order for order in planned if order is not None]

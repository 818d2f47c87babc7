"""Protective stops: for each holding of a strategy that wants them, one STOP_LOSS_LIMIT order at the exchange."""

from __future__ import annotations

from decimal import Decimal

from sqlalchemy import Connection, Engine, text

from eightbells.candles import grid
from eightbells.exchange import rules
from eightbells.exchange.rules import RuleBroken, wire
from eightbells.settings import Settings, StrategySettings
from eightbells.strategies.evaluation import Moment
from eightbells.trading import ledger, outbox
from eightbells.trading.lease import Lease
from eightbells.trading.ledger import Position
from eightbells.trading.outbox import Order
from eightbells.trading.sizing import Sized, sellable
from eightbells.trading.states import State

# The limit of a triggered stop lies so far below its trigger, that it fills in a falling market.
_BELOW_TRIGGER = Decimal("0.01")

_ENTRY = """
SELECT o.signal_id, e.strategy_version, o.open_time FROM orders AS o
INNER JOIN signals AS s ON o.signal_id = s.id INNER JOIN evaluations AS e ON s.evaluation_id = e.id
WHERE o.account = :account AND o.strategy = :strategy AND o.symbol = :symbol AND o.leg = 'entry'
AND o.executed_quantity > 0 ORDER BY o.id DESC LIMIT 1
"""


def obsolete_stops(connection: Connection, settings: Settings) -> list[Order]:
    """Stops to cancel: those that no longer cover exactly what their strategy can sell of the symbol.

    One that is being filled goes on: the price has come to it, and no other could be placed in its stead.
    """
    held = {
        (position.strategy, position.symbol): position
        for position in ledger.positions(connection, settings.account)
    }
    stops = [order for order in outbox.live(connection, settings.account) if order.leg == "stop"]
    return [
        stop
        for stop in stops
        if stop.state is not State.PARTIALLY_FILLED
        and _coverable(connection, held.get((stop.strategy, stop.symbol)), stop.price) != stop.quantity
    ]


def plan_stops(engine: Engine, settings: Settings, moment: Moment, lease: Lease) -> list[int]:
    """Commit a stop for each holding that should have one and has none; returns the orders to send."""
    wanted = {strategy.name: strategy for strategy in settings.strategies if strategy.stop_loss}
    planned: list[int | None] = []
    with engine.begin() as connection:
        lease.require(connection)
        busy = {
            (order.strategy, order.symbol)
            for order in outbox.live(connection, settings.account)
            if order.side == "SELL"
        }
        for position in ledger.positions(connection, settings.account):
            strategy = wanted.get(position.strategy)
            if strategy and (position.strategy, position.symbol) not in busy:
                planned.append(_plan_stop(connection, settings, strategy, position, moment))
    return [order for order in planned if order is not None]


def _plan_stop(
    connection: Connection, settings: Settings, strategy: StrategySettings, position: Position, moment: Moment
) -> int | None:
    values = {"account": settings.account, "strategy": strategy.name, "symbol": position.symbol}
    entry = connection.execute(text(_ENTRY), values).one_or_none()
    symbol_rules = rules.load(connection, position.symbol)
    cost = ledger.average_cost(connection, settings.account, strategy.name, position.symbol)
    if entry is None or symbol_rules is None or cost is None:
        return None
    try:
        trigger = symbol_rules.price("SELL", cost * (1 - strategy.stop_loss))
        limit = symbol_rules.price("SELL", trigger * (1 - _BELOW_TRIGGER))
    except RuleBroken:
        return None
    quantity = sellable(position.quantity, limit, symbol_rules, market=False)
    if not quantity:
        return None
    identity = (strategy.name, entry.strategy_version, position.symbol, grid.to_ms(entry.open_time))
    attempt = outbox.next_attempt(connection, entry.signal_id, "stop")
    unit = wire(cost.quantize(ledger.SMALLEST))
    basis = f"{wire(position.quantity)} owned, {wire(strategy.stop_loss)} below its cost of {unit}"
    sized = Sized("stop", "SELL", quantity, limit, trigger, basis)
    now, run = moment.now_ms, moment.flow_run
    return outbox.plan(connection, settings.account, entry.signal_id, identity, sized, now, run, attempt)


def _coverable(connection: Connection, position: Position | None, price: Decimal | None) -> Decimal:
    symbol_rules = rules.load(connection, position.symbol) if position else None
    if position is None or symbol_rules is None or price is None:
        return Decimal(0)
    return sellable(position.quantity, price, symbol_rules, market=False)

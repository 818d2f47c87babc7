"""From decisions to orders in the outbox: sized, allowed, committed; or refused with a reason in a row."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sqlalchemy import Connection, Engine, text

from eightbells.candles import grid
from eightbells.exchange import rules
from eightbells.settings import Settings, StrategySettings
from eightbells.strategies.evaluation import Decision, Moment, Refused
from eightbells.trading import ledger, outbox
from eightbells.trading.sizing import Sized, size
from eightbells.trading.states import IN_FLIGHT, LIVE, State

_ONE_PLANNER = 8_888_003  # key of the advisory lock: two planners must not spend the same capital


@dataclass(frozen=True)
class Plan:
    """Ids of the orders that are to be sent, and what was refused."""

    orders: list[int] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)


def plan_orders(
    engine: Engine, settings: Settings, decisions: Iterable[Decision], symbols: int, moment: Moment
) -> Plan:
    """Commit the orders that the decisions call for; deciding and planning again adds nothing.

    Args:
        symbols: how many symbols a strategy without a list of its own shares its capital among.
    """
    plan = Plan()
    strategies = {entry.name: entry for entry in settings.strategies}
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ONE_PLANNER})
        for decision in decisions:
            refused = _plan(connection, settings, strategies[decision.strategy], decision, symbols, moment)
            if refused is not None:
                plan.refused.append(refused)
        record_refusals(connection, plan.refused, moment)
        plan.orders.extend(
            order.id for order in outbox.in_states(connection, settings.account, {State.PLANNED})
        )
    return plan


def _plan(
    connection: Connection, settings: Settings, strategy: StrategySettings, decision: Decision, symbols: int,
    moment: Moment,
) -> Refused | None:  # fmt: skip
    def refuse(stage: str, reason: str) -> Refused:
        return Refused(decision.symbol, strategy.name, stage, reason)

    if _has_order(connection, decision.signal):
        return None
    out = _orders_out(connection, settings.account, decision.symbol)
    wanted = "BUY" if decision.target == "long" else "SELL"
    if any(order.strategy == strategy.name and order.side == wanted for order in out):
        return None  # an earlier order already goes where the strategy wants to be
    try:
        sized = _size(connection, settings, strategy, decision, symbols)
    except rules.RuleBroken as error:
        return refuse("sizing", str(error))
    if sized is None:
        return None
    if reason := outbox.switched_off(connection):
        return refuse("switch", f"trading is switched off: {reason}")
    if late := outbox.lateness(decision.open_ms, moment.now_ms, settings):
        return refuse("age", late)
    for order in out:
        if order.state in IN_FLIGHT:
            return refuse(
                "risk", f"order {order.client_order_id} is {order.state}: the symbol waits until it is known"
            )
        if order.strategy == strategy.name:
            return refuse("risk", f"order {order.client_order_id} is still {order.state}")
    identity = (strategy.name, decision.version, decision.symbol, decision.open_ms)
    outbox.plan(
        connection, settings.account, decision.signal, identity, sized, moment.now_ms, moment.flow_run
    )
    return None


def _size(
    connection: Connection, settings: Settings, strategy: StrategySettings, decision: Decision, symbols: int
) -> Sized | None:
    symbol_rules = rules.load(connection, decision.symbol)
    if symbol_rules is None or symbol_rules.status != "TRADING":
        raise rules.RuleBroken(f"{decision.symbol} is {symbol_rules.status if symbol_rules else 'not known'}")
    means = ledger.means(
        connection, settings.account, strategy.name, decision.symbol, strategy.capital,
        len(strategy.symbols) or symbols,
    )  # fmt: skip
    market = settings.trading.order_type == "market"
    return size(decision, means, symbol_rules, market=market, offset=settings.trading.limit_offset)


def _orders_out(connection: Connection, account: str, symbol: str) -> list[outbox.Order]:
    return [order for order in outbox.in_states(connection, account, LIVE) if order.symbol == symbol]


def _has_order(connection: Connection, signal: int) -> bool:
    found: bool = connection.execute(
        text("SELECT exists(SELECT FROM orders WHERE signal_id = :signal)"), {"signal": signal}
    ).scalar_one()
    return found


def record_refusals(connection: Connection, refusals: Iterable[Refused], moment: Moment) -> None:
    """Keep why something was not traded; the same reason for the same candle once."""
    for refusal in refusals:
        connection.execute(
            text(
                "INSERT INTO refusals (account, strategy, symbol, open_time, stage, reason, at, flow_run) "
                "VALUES (:account, :strategy, :symbol, :opened, :stage, :reason, :at, :run) ON CONFLICT DO NOTHING"
            ),
            {
                **vars(refusal), "account": moment.account, "opened": grid.to_time(moment.open_ms),
                "at": grid.to_time(moment.now_ms), "run": moment.flow_run,
            },
        )  # fmt: skip

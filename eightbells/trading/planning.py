"""From decisions to orders in the outbox: sized, allowed, committed; or refused with a reason in a row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

from sqlalchemy import Connection, Engine, text

from eightbells.candles import grid
from eightbells.exchange import rules
from eightbells.exchange.rules import RuleBroken
from eightbells.settings import Settings, StrategySettings
from eightbells.strategies.evaluation import Decision, Moment, Refused
from eightbells.trading import ledger, outbox, risk
from eightbells.trading.lease import Lease
from eightbells.trading.outbox import Order
from eightbells.trading.sizing import Sized, size
from eightbells.trading.states import IN_FLIGHT, LIVE, State


@dataclass(frozen=True)
class Plan:
    """Ids of the orders that wait to be sent, and what was refused."""

    orders: list[int] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)


@dataclass(frozen=True)
class Planner:
    """Plans one cycle's orders in one transaction, under the account's lease."""

    connection: Connection
    settings: Settings
    moment: Moment
    last_prices: Mapping[str, Decimal]
    exposure: risk.Exposure

    def plan(self, strategy: StrategySettings, decision: Decision) -> Refused | None:
        """Commit the order that a decision calls for, if it calls for one and has none; or say why not."""

        def refuse(stage: str, reason: str) -> Refused:
            return Refused(decision.symbol, strategy.name, stage, reason)

        attempt = self._next_attempt(decision)
        out = self._orders_out(decision.symbol)
        wanted = "BUY" if decision.target == "long" else "SELL"
        going = any(
            order.strategy == strategy.name and order.side == wanted and order.leg != "stop" for order in out
        )
        if attempt is None or going:
            return None  # this decision has its order, or an earlier one goes where the strategy wants to be
        try:
            sized = self._size(strategy, decision)
        except RuleBroken as error:
            return refuse("sizing", str(error))
        if sized is None:
            return None
        if blocked := self._blocked(strategy, decision, sized, out):
            return refuse(*blocked)
        identity = (strategy.name, decision.version, decision.symbol, decision.open_ms)
        now, run = self.moment.now_ms, self.moment.flow_run
        outbox.plan(
            self.connection, self.settings.account, decision.signal, identity, sized, now, run, attempt
        )
        notional = sized.quantity * (sized.price or decision.price)
        self.exposure.add(decision.symbol, notional if sized.side == "BUY" else Decimal(0))
        return None

    def _next_attempt(self, decision: Decision) -> int | None:
        """1 for a decision without an order, the next number after one proven ABSENT, None where there is one."""
        row = self.connection.execute(
            text(
                "SELECT attempt, state FROM orders WHERE signal_id = :signal AND leg IN ('entry', 'exit') "
                "ORDER BY attempt DESC LIMIT 1"
            ),
            {"signal": decision.signal},
        ).one_or_none()
        if row is None:
            return 1
        return row.attempt + 1 if row.state == State.ABSENT else None

    def _orders_out(self, symbol: str) -> list[Order]:
        live = outbox.in_states(self.connection, self.settings.account, LIVE)
        return [order for order in live if order.symbol == symbol]

    def _size(self, strategy: StrategySettings, decision: Decision) -> Sized | None:
        symbol_rules = rules.load(self.connection, decision.symbol)
        if symbol_rules is None or symbol_rules.status != "TRADING":
            raise RuleBroken(f"{decision.symbol} is {symbol_rules.status if symbol_rules else 'not known'}")
        # the share is the universe's, also where a run is for some of its symbols only
        shares = len(strategy.symbols) or len(self.settings.symbols) or 1
        means = ledger.means(
            self.connection, self.settings.account, strategy.name, decision.symbol, strategy.capital, shares,
        )  # fmt: skip
        market = self.settings.trading.order_type == "market"
        if market:  # it is paid at what the price is by now, and the capital must suffice
            last = self.last_prices.get(decision.symbol, decision.price)
            decision = replace(decision, price=max(decision.price, last))
        return size(decision, means, symbol_rules, market=market, offset=self.settings.trading.limit_offset)

    def _blocked(
        self, strategy: StrategySettings, decision: Decision, sized: Sized, out: list[Order]
    ) -> tuple[str, str] | None:
        """Stage and reason for which an order must not go out now."""
        if reason := outbox.switched_off(self.connection):
            return "switch", f"trading is switched off: {reason}"
        if late := outbox.lateness(decision.open_ms, self.moment.now_ms, self.settings):
            return "age", late
        if drift := outbox.drift(self.connection, self.settings.account, decision.symbol):
            return "drift", drift
        for order in out:
            if order.state in IN_FLIGHT:
                return (
                    "risk",
                    f"order {order.client_order_id} is {order.state}: the symbol waits until it is known",
                )
            if order.strategy == strategy.name:
                return "risk", f"order {order.client_order_id} is still {order.state}"
        once = sized.leg == "entry" and self.settings.trading.unfilled == "cancel"
        if once and (
            tried := _tried_in_vain(self.connection, self.settings.account, strategy.name, decision)
        ):
            return "risk", tried
        proposal = risk.Proposal(
            decision.symbol, sized.side, sized.quantity, sized.price or decision.price,
            self.last_prices.get(decision.symbol),
        )  # fmt: skip
        reason = risk.objection(proposal, self.exposure, self.settings.risk)
        return None if reason is None else ("risk", reason)


def plan_orders(
    engine: Engine, settings: Settings, decisions: Iterable[Decision], moment: Moment, lease: Lease,
    last_prices: Mapping[str, Decimal],
) -> Plan:  # fmt: skip
    """Commit the orders that the decisions call for; deciding and planning again adds nothing.

    Args:
        lease: held by the caller; it is kept from others until the plan is committed.
        last_prices: the exchange's last price of each symbol, for the price collar.

    Raises:
        LeaseLost: another worker trades the account.
    """
    plan = Plan()
    strategies = {entry.name: entry for entry in settings.strategies}
    with engine.begin() as connection:
        lease.require(connection)
        exposure = ledger.exposure(connection, settings, moment.open_ms)
        planner = Planner(connection, settings, moment, last_prices, exposure)
        for decision in decisions:
            refused = planner.plan(strategies[decision.strategy], decision)
            if refused is not None:
                plan.refused.append(refused)
        record_refusals(connection, plan.refused, moment)
        plan.orders.extend(
            order.id for order in outbox.in_states(connection, settings.account, {State.PLANNED})
        )
    return plan


_TRIED = """
SELECT o.client_order_id FROM orders AS o
WHERE o.account = :account AND o.strategy = :strategy AND o.symbol = :symbol AND o.leg = 'entry'
AND o.state IN ('CANCELED', 'EXPIRED') AND o.executed_quantity = 0
AND NOT EXISTS (
    SELECT FROM signals AS s INNER JOIN evaluations AS e ON s.evaluation_id = e.id
    WHERE e.account = o.account AND e.strategy = o.strategy AND e.symbol = o.symbol
    AND e.open_time > o.open_time AND s.target = 'flat'
)
LIMIT 1
"""


def _tried_in_vain(connection: Connection, account: str, strategy: str, decision: Decision) -> str | None:
    order = connection.execute(
        text(_TRIED), {"account": account, "strategy": strategy, "symbol": decision.symbol}
    ).scalar_one_or_none()
    return (
        None if order is None else f"order {order} was not filled, and the strategy has not been flat since"
    )


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

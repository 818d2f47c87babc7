"""From decisions to orders in the outbox: sized, allowed, committed; or refused with a reason in a row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

from sqlalchemy import Connection, Engine, text

from eightbells.candles import grid
from eightbells.exchange.rules import RuleBroken, SymbolRules
from eightbells.settings import Settings, StrategySettings
from eightbells.strategies.decision import Decision, EvaluationContext, Refused
from eightbells.trading import attempts, jumps, ledger, outbox, permission, risk, valuation
from eightbells.trading.lease import Lease
from eightbells.trading.outbox import Intent, Order
from eightbells.trading.planning_books import Books
from eightbells.trading.refusals import record_refusals
from eightbells.trading.sizing import Purse, Sized, Wanted, order_for, yearly_volatility
from eightbells.trading.states import IN_FLIGHT, State


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
    context: EvaluationContext
    last_prices: Mapping[str, Decimal]
    exposure: risk.Exposure
    books: Books
    purchases: list[Intent] = field(default_factory=list)  # to be inserted together

    def plan(self, strategy: StrategySettings, decision: Decision) -> Refused | None:
        """Commit the order that a decision calls for, if it calls for one and has none; or say why not."""

        def refuse(stage: str, reason: str) -> Refused:
            return Refused(decision.symbol, strategy.name, stage, reason)

        attempt = self._next_attempt(decision)
        out = self.books.out.get(decision.symbol, [])
        wanted = "BUY" if decision.target == "long" else "SELL"
        going = any(
            order.strategy == strategy.name
            and order.side == wanted
            and order.leg not in ("stop", "target")
            and not self._is_renewed(order, decision)
            for order in out
        )
        if attempt is None or going:
            return None  # this decision has its order, or an earlier one goes where the strategy wants to be
        try:
            sized = self._size(strategy, decision)
        except RuleBroken as error:
            return refuse("sizing", str(error))
        if sized is None:
            return None
        stop = next((order for order in out if _stands_for(order, strategy.name)), None)
        if blocked := self._blocked(
            strategy, decision, sized, [order for order in out if order is not stop and not order.paired]
        ):
            # an exit that is refused goes on with the guardian, which knows no parts
            return refuse("trim" if sized.leg == "trim" else blocked[0], blocked[1])
        if sized.side == "BUY":
            self._buy(strategy, decision, sized, attempt)
        else:
            planned = self._commit_beside(decision, sized, attempt, stop)
            if planned is None:
                planned = outbox.plan(self.connection, self._intent(decision, sized, attempt), stop)
            if planned is not None:
                self.books.out.setdefault(decision.symbol, []).append(outbox.load(self.connection, planned))
        return None

    def _buy(self, strategy: StrategySettings, decision: Decision, sized: Sized, attempt: int) -> None:
        self.purchases.append(self._intent(decision, sized, attempt))
        notional = sized.quantity * (sized.price or decision.price)
        self.exposure.add(decision.symbol, notional)
        self.books.reserved[strategy.name] = self._reserved(strategy) + notional

    def _intent(
        self, decision: Decision, sized: Sized, attempt: int, listed_with: int | None = None
    ) -> Intent:
        identity = decision.strategy, decision.version, decision.symbol, decision.open_ms
        account, now, run = self.settings.account, self.context.now_ms, self.context.flow_run
        return Intent(account, decision.signal, identity, sized, now, run, attempt, listed_with=listed_with)

    def _commit_beside(
        self, decision: Decision, sized: Sized, attempt: int, stop: Order | None
    ) -> int | None:
        """Commit an exit that waits above the market together with its stop; None where it goes alone."""
        last, symbol_rules = self.last_prices.get(decision.symbol), self.books.rules[decision.symbol]
        if sized.price is None or stop is None or stop.stop_price is None or last is None:
            return None
        waits = stop.stop_price < last < sized.price and symbol_rules.takes_lists
        if not waits or "LIMIT_MAKER" not in symbol_rules.order_types or stop.quantity != sized.quantity:
            return None
        again = Sized("stop", "SELL", stop.quantity, stop.price, stop.stop_price, "its stop, beside the exit")
        identity = (decision.strategy, decision.version, decision.symbol, grid.to_ms(stop.open_time))
        account, now, run = self.settings.account, self.context.now_ms, self.context.flow_run
        numbered = attempts.next_attempt(self.connection, stop.signal_id, "stop")
        planned = outbox.plan(
            self.connection, Intent(account, stop.signal_id, identity, again, now, run, numbered), stop
        )
        if planned is not None:
            exit_beside = self._intent(decision, replace(sized, maker=True), attempt, planned)
            outbox.plan(self.connection, exit_beside)
        return planned

    def _is_renewed(self, order: Order, decision: Decision) -> bool:
        """Whether an exit of an earlier candle, which waits beside its stop, goes on at this candle's price."""
        earlier = grid.to_ms(order.open_time) < decision.open_ms
        return order.paired and earlier and self.settings.trading.unfilled != "keep"

    def _next_attempt(self, decision: Decision) -> int | None:
        """1 for a decision without an order, the next number where another may follow, None where there is one."""
        attempt, is_open = self.books.attempts.get(decision.signal, (0, True))
        return attempt + 1 if is_open else None

    def _reserved(self, strategy: StrategySettings) -> Decimal:
        return self.books.reserved.get(strategy.name, Decimal(0))

    def _size(self, strategy: StrategySettings, decision: Decision) -> Sized | None:
        symbol_rules, last = self.books.rules.get(decision.symbol), self.last_prices.get(decision.symbol)
        volatility = self._volatility(strategy, decision)
        return size(
            decision, self._purse(strategy, decision), symbol_rules, last, volatility, strategy, self.settings
        )

    def _purse(self, strategy: StrategySettings, decision: Decision) -> Purse:
        # the share is the universe's, also where a run is for some of its symbols only
        shares = self.settings.shares(strategy)
        held = [position for position in self.books.positions if position.strategy == strategy.name]
        buying_power = ledger.buying_power(
            held, decision.symbol, strategy.capital, 1, self._reserved(strategy)
        )
        worth = strategy.capital + self.books.gains.get(strategy.name, Decimal(0))
        parts = (1, 0)
        if strategy.scale_steps > 1:
            parts = ledger.parts(self.connection, self.settings.account, strategy.name, decision.symbol)
        return Purse(buying_power.owned, buying_power.spendable, worth, shares, *parts)

    def _volatility(self, strategy: StrategySettings, decision: Decision) -> Decimal | None:
        if not strategy.target_volatility or decision.target == "flat":
            return None
        closes = jumps.closes_since_split(
            self.connection, self.settings.account, decision.symbol, decision.open_ms
        )
        return yearly_volatility(closes)

    def _blocked(
        self, strategy: StrategySettings, decision: Decision, sized: Sized, out: list[Order]
    ) -> tuple[str, str] | None:
        """Stage and reason for which an order must not go out now."""
        if self.books.off is not None:
            return "switch", f"trading is switched off: {self.books.off}"
        # who wants out is let out as long as no newer candle says otherwise
        newest = decision.open_ms == grid.last_closed(self.context.now_ms)
        late = permission.lateness(decision.open_ms, self.context.now_ms, self.settings)
        if late and not (sized.side == "SELL" and newest):
            return "age", late
        if drift := self.books.drifts.get(decision.symbol):
            return "drift", drift
        if hold := self.books.holds[sized.side].get(decision.symbol):
            return "hold", hold
        for order in out:
            if order.state in IN_FLIGHT:
                return (
                    "risk",
                    f"order {order.client_order_id} is {order.state}: the symbol waits until it is known",
                )
            if order.strategy == strategy.name:
                return "risk", f"order {order.client_order_id} is still {order.state}"
        if sized.side == "SELL":
            unbooked = (strategy.name, decision.symbol) in self.books.unbooked
            return ("risk", "fills of it are not booked yet") if unbooked else None
        if self.settings.trading.unfilled == "cancel" and (
            tried := _tried_in_vain(self.connection, self.settings.account, strategy.name, decision)
        ):
            return "risk", tried
        proposal = risk.Proposal(
            decision.symbol,
            sized.side,
            sized.quantity,
            sized.price or decision.price,
            self.last_prices.get(decision.symbol),
        )
        if reason := risk.objection(proposal, self.exposure, self.settings.risk):
            return "risk", reason
        if reason := self.books.protections.objection(
            self.settings, strategy, decision, self.exposure.equity
        ):
            return "protection", reason
        meeting = self._meeting(sized, decision)
        return None if meeting is None else ("risk", meeting)

    def _meeting(self, sized: Sized, decision: Decision) -> str | None:
        """Why a purchase would meet a sale of our own: the exchange lets one of the two expire."""
        for order in self.books.out.get(decision.symbol, []):
            if order.side != "SELL" or order.stop_price is not None:
                continue
            if order.price is None or sized.price is None or order.price <= sized.price:
                return (
                    f"order {order.client_order_id} of {order.strategy} sells at the price of this purchase"
                )
        return None


def size(
    decision: Decision,
    purse: Purse,
    symbol_rules: SymbolRules | None,
    last: Decimal | None,
    volatility: Decimal | None,
    strategy: StrategySettings,
    settings: Settings,
) -> Sized | None:
    """The order that a decision calls for; None where the strategy is where it wants to be. Pure.

    Args:
        last: the exchange's last price, where it is known.
        volatility: of the symbol per year, where the strategy's size depends on it.

    Raises:
        RuleBroken: no order is acceptable.
    """
    if symbol_rules is None or symbol_rules.status != "TRADING":
        raise RuleBroken(f"{decision.symbol} is {symbol_rules.status if symbol_rules else 'not known'}")
    quote = symbol_rules.quote_asset
    if decision.target == "long" and quote != settings.quote_asset:
        raise RuleBroken(
            f"{decision.symbol} is quoted in {quote}; capital and limits are in {settings.quote_asset}"
        )
    wanted = Wanted(decision.target, decision.price, last, decision.weight, volatility)
    return order_for(wanted, purse, symbol_rules, strategy, settings.trading)


def _stands_for(order: Order, strategy: str) -> bool:
    """Whether an order is the strategy's stop or target, and can be replaced by a sale."""
    return (
        order.strategy == strategy
        and order.leg in ("stop", "target")
        and order.state is State.OPEN
        and order.type != "MARKET"
        and not order.yields
        and not order.paired
    )


def plan_orders(
    engine: Engine,
    settings: Settings,
    decisions: Iterable[Decision],
    context: EvaluationContext,
    lease: Lease,
    last_prices: Mapping[str, Decimal],
    *,
    again: bool = False,
) -> Plan:
    """Commit the orders that the decisions call for; deciding and planning again adds nothing.

    Args:
        lease: held by the caller; it is kept from others until the plan is committed.
        last_prices: the exchange's last price of each symbol, for the price collar.
        again: whether orders that the exchange refused for the moment only, an earlier run's, are planned again.

    Raises:
        LeaseLost: another worker trades the account.
    """
    plan = Plan()
    strategies = {entry.name: entry for entry in settings.strategies}
    with engine.begin() as connection:
        lease.require(connection)
        exposure = valuation.exposure(connection, settings, context.open_ms)
        decided = sorted(decisions, key=lambda decision: decision.target == "long")  # sales first
        books = Books.read(connection, settings, decided, context, again)
        planner = Planner(connection, settings, context, last_prices, exposure, books)
        for decision in decided:
            refused = planner.plan(strategies[decision.strategy], decision)
            if refused is not None:
                plan.refused.append(refused)
        outbox.plan_purchases(connection, planner.purchases)
        record_refusals(connection, plan.refused, context)
        planned = outbox.live(connection, settings.account, {State.PLANNED})
        plan.orders.extend(order.id for order in planned if not order.paired)
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

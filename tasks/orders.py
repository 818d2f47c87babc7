"""Steps about orders: plan, send, follow, protect, under the account's lease."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal

from prefect.client.schemas import State as PrefectState

from eightbells.candles import grid
from eightbells.exchange.gateway import PLACE_LIST, PLACE_ORDER, REPLACE_ORDER, NotReplaced
from eightbells.exchange.recovery import Action, ExchangeError
from eightbells.strategies.decision import Decision, EvaluationContext, Refused
from eightbells.trading import attempts, outbox
from eightbells.trading.drift import Drift, doubtful
from eightbells.trading.execution import to_settle
from eightbells.trading.holds import held_symbols
from eightbells.trading.lease import Lease, LeaseLost, hold_lease
from eightbells.trading.outbox import Order
from eightbells.trading.planning import Plan, plan_orders
from eightbells.trading.reconciliation import Reconciliation, reconcile
from eightbells.trading.states import IN_FLIGHT, LIVE, State, of_exchange
from orchestration.exchange_task import exchange_task, limited_task
from orchestration.retries import attempts_left, awaiting
from tasks.candles import refresh_rules
from tasks.session import Session

_ASK_EVERY_SECONDS = 2.0
_MOST_ONE_BY_ONE = 20  # orders are asked for singly: more weigh more than the list of all open ones
_MOST_ROUNDS = 3  # an order proven ABSENT is planned again while its candle is fresh


def context_of(session: Session, opened: int) -> EvaluationContext:
    return EvaluationContext(session.settings.account, opened, session.now_ms, session.flow_run)


@asynccontextmanager
async def trading_lease(session: Session) -> AsyncIterator[Lease]:
    """The right to send orders; another worker's is waited for."""
    trading = session.settings.trading
    async with hold_lease(
        session.engine, session.settings.account, trading.lease_seconds, trading.lease_patience_seconds
    ) as lease:
        yield lease


@dataclass(frozen=True)
class Traded:
    """What came of trading a candle: what went wrong, in words, and what was refused, and why."""

    problems: list[str] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)


async def prepare_account(session: Session) -> list[str] | None:
    """Settle, compare and guard shortly before a candle closes, so that its orders need not wait for it.

    Returns what went wrong, in words; None where another worker trades the account.
    """
    try:
        async with trading_lease(session) as lease:
            return await _prepare(session, lease)
    except LeaseLost:
        return None


async def _prepare(session: Session, lease: Lease) -> list[str]:
    # who had the lease before may have died with orders in flight
    problems = await settle_orders(session, only=IN_FLIGHT)
    found = await reconcile_books(session)
    await guard_positions(session, lease)
    return problems + [drift.line for drift in found.drifts]


async def trade(
    session: Session, decisions: list[Decision], opened: int, prepared: list[str] | None = None
) -> Traded:
    """Take the account from where it is to where the decisions want it.

    Args:
        prepared: what `prepare_account` said a moment ago; None: the account is prepared here.
    """
    label, problems, refused = grid.label(opened), list[str](), list[Refused]()
    try:
        async with trading_lease(session) as lease:
            if prepared is None:
                problems += await _prepare(session, lease)
            else:  # another worker may have had the lease since
                problems += prepared + await settle_orders(session, only=IN_FLIGHT)
            problems += await cancel_opposed(session, decisions)
            for rounds in range(_MOST_ROUNDS):
                # what the exchange refused for the moment in an earlier run goes again, once in this one
                planned = await plan(session, decisions, opened, lease, label, again=rounds == 0)
                refused = planned.refused
                if not planned.orders:
                    break
                problems += await send_orders(session, planned.orders, lease)
                problems += await settle_orders(session)
            problems += await guard_positions(session, lease)
            doubted = [
                it for it in to_settle(session.engine, session.settings.account) if it.state in IN_FLIGHT
            ]
            problems += await settle_orders(session)
            if doubted:  # a stop among them may have turned out not to exist
                problems += await guard_positions(session, lease)
                problems += await settle_orders(session)
    except LeaseLost as error:
        problems.append(str(error))
    return Traded(problems + [drift.line for drift in _doubtful(session)], refused)


@exchange_task("reconcile the books")
async def reconcile_books(session: Session, symbols: Iterable[str] = ()) -> Reconciliation:
    """Hold the exchange against the books; a symbol that does not agree is not traded until it does.

    Args:
        symbols: where orders are looked for though the books know of none.
    """
    return await reconcile(session.settings, session.engine, session.gateway, session.executor, symbols)


def _doubtful(session: Session) -> list[Drift]:
    """The drifts of orders whose status at the exchange is not known: they may still be open."""
    with session.engine.connect() as connection:
        return doubtful(connection, session.settings.account)


@exchange_task("plan orders for {label}")
async def plan(
    session: Session, decisions: Iterable[Decision], opened: int, lease: Lease, label: str, again: bool
) -> Plan:
    """Commit the orders that the decisions call for to the outbox."""
    context = context_of(session, opened)
    try:
        last = await session.gateway.prices()
    except ExchangeError as error:
        if attempts_left(error.failure) > 0:
            raise
        last = {}  # who wants out is let out; what is bought needs a price
    return plan_orders(session.engine, session.settings, decisions, context, lease, last, again=again)


@limited_task("guard the positions")
async def guard_positions(session: Session, lease: Lease) -> list[str]:
    """See that every holding with a stop is protected or being sold; returns which are neither, in words."""
    return await session.guardian.guard(lease)


async def guard(session: Session) -> list[str]:
    """Guard the positions under a lease of its own; where another worker trades, it guards them itself."""
    try:
        async with trading_lease(session) as lease:
            return await guard_positions(session, lease)
    except LeaseLost as error:
        return [str(error)]


async def cancel_opposed(session: Session, decisions: Iterable[Decision]) -> list[str]:
    """Cancel the purchases that go against the decisions, and those of symbols that are held.

    Returns what could not be cancelled, in words.
    """
    targets = {(decision.strategy, decision.symbol): decision.target for decision in decisions}
    with session.engine.connect() as connection:
        held = held_symbols(connection, session.settings.account, buying=True)
        orders = [
            order
            for order in outbox.live(connection, session.settings.account)
            if order.side == "BUY"
            and (targets.get((order.strategy, order.symbol)) == "flat" or order.symbol in held)
        ]
    return await cancel_orders(session, orders)


async def cancel_orders(session: Session, orders: Iterable[Order]) -> list[str]:
    """Cancel orders, those in flight once they are known. Returns what could not be cancelled, in words."""
    orders = list(orders)
    outcomes = await asyncio.gather(
        *(settle_order(session, order, f"{order.side} {order.symbol}", True) for order in orders),
        return_exceptions=True,
    )
    failed = [str(outcome) for outcome in outcomes if isinstance(outcome, BaseException)]
    live = {order.client_order_id for order, state in zip(orders, outcomes, strict=True) if state in LIVE}
    return failed + [it.line for it in _doubtful(session) if it.facts["client_order_id"] in live]


@limited_task("send {label}")
async def send_order(session: Session, order_id: int, lease: Lease, label: str) -> State | PrefectState:
    """Send one planned order. A refusal that can be mended leads to another attempt, shown as this task's retry.

    Every attempt is a row of the outbox of its own, committed before it is sent.
    """
    executor = session.executor
    with session.engine.connect() as connection:
        attempt = attempts.latest_attempt(connection, order_id)
    try:
        return await executor.send(attempt.id, lease)
    except NotReplaced:  # what it was to replace may be gone: that is mended before anything is waited for
        raise
    except ExchangeError as error:
        if attempts_left(error.failure) > 0 and await _is_mended(session, attempt, error):
            return awaiting(error.failure, str(error))
        raise


async def _is_mended(session: Session, order: Order, error: ExchangeError) -> bool:
    """Whether another attempt at the order is planned, with the symbol's rules fetched again where that is due."""
    if error.failure.remedy.action is Action.FIX and error.failure.certainly_not_executed:
        try:
            await refresh_rules(session, [order.symbol])
        except ExchangeError:
            return False
    return session.executor.repair(order.id, error)


@exchange_task("follow {label}")
async def settle_order(session: Session, order: Order, label: str, cancel: bool) -> State:
    """Bring one order's books up to date: ask what became of it, book its fills, cancel it where that is due.

    One in flight is asked for until it is known, which takes as long as the exchange could still accept it; one whose
    status there is not known stays as it is.
    """
    executor, number = session.executor, order.id

    def present() -> Order:
        with session.engine.connect() as connection:
            return outbox.load(connection, number)

    order = present()
    if cancel and order.state is State.PLANNED:
        await executor.cancel(order)
        order = present()  # it may have gone out at this very moment
    while order.state in IN_FLIGHT:
        found, order = await executor.resolve(order), present()
        if found is State.UNKNOWN:
            if order.exchange_order_id is not None:  # it was found, and its status is not known
                break
            await asyncio.sleep(_ASK_EVERY_SECONDS)
    if cancel and order.state in (State.OPEN, State.PARTIALLY_FILLED, State.UNKNOWN):
        return await executor.cancel(order)
    if order.state in (State.UNKNOWN, State.ABSENT, State.DENIED, State.REJECTED, State.PLANNED):
        return order.state
    return await executor.refresh(order)


async def send_orders(session: Session, orders: list[int], lease: Lease) -> list[str]:
    """Send planned orders side by side; one that fails stops only itself. Returns what was refused, in words.

    One whose fate is unknown is not among them: it is asked for when the orders are settled.
    """
    # the first shall not wait until the last one's task has started
    room = asyncio.Semaphore(session.settings.exchange.concurrency)

    async def send(row: Order) -> State:
        async with room:
            return await send_order(session, row.id, lease, f"{row.side} {row.symbol}")

    await session.executor.keep_where_closed(orders)
    with session.engine.connect() as connection:
        rows = outbox.load_all(connection, orders)
    outcomes = await asyncio.gather(*(send(row) for row in rows), return_exceptions=True)
    return [
        f"{row.side} {row.symbol}: {outcome}"
        for row, outcome in zip(rows, outcomes, strict=True)
        if isinstance(outcome, BaseException) and not _in_doubt(outcome)
    ]


def waiting_orders(session: Session, opened: int) -> str:
    """What the exchange refused for the moment only, in words; empty where nothing waits."""
    with session.engine.connect() as connection:
        orders = attempts.put_off(connection, session.settings.account, grid.to_time(opened))
    named = ", ".join(f"{order.side} {order.symbol}" for order in orders)
    return f"the exchange does not take these orders for the moment: {named}" if orders else ""


def _in_doubt(error: BaseException) -> bool:
    """Whether an order may exist that its sending has failed with; what failed before that is no doubt."""
    if not isinstance(error, ExchangeError) or error.endpoint not in (PLACE_LIST, PLACE_ORDER, REPLACE_ORDER):
        return False
    return not isinstance(error, NotReplaced) and not error.failure.certainly_not_executed


async def settle_orders(
    session: Session, before: int | None = None, only: Collection[State] = frozenset(State)
) -> list[str]:
    """Follow every order that is not final; those of candles before `before` (ms) are cancelled by setting.

    Returns what could not be settled, in words.
    """
    orders = [order for order in to_settle(session.engine, session.settings.account) if order.state in only]
    over = {order.id for order in orders if _is_over(session, order, before)}
    unchanged = await _unchanged(session) if len(orders) > _MOST_ONE_BY_ONE else set()
    outcomes = await asyncio.gather(
        *(
            settle_order(session, order, f"{order.side} {order.symbol}", order.id in over)
            for order in orders
            if order.id in over
            or (order.client_order_id, order.state, order.booked_quantity) not in unchanged
        ),
        return_exceptions=True,
    )
    return [str(outcome) for outcome in outcomes if isinstance(outcome, BaseException)]


async def _unchanged(session: Session) -> set[tuple[str, State | None, Decimal]]:
    """Client order id, state and executed quantity of all open orders, by one request; empty where it fails."""
    try:
        found = await session.gateway.open_orders()
    except ExchangeError:  # then each is asked for, with the retries of that
        return set()
    return {(order.client_order_id, of_exchange(order.status), order.executed_quantity) for order in found}


def _is_over(session: Session, order: Order, before: int | None) -> bool:
    """Whether an order's candle is over and the setting wants it gone; a stop stays as long as its position."""
    if (
        before is None
        or order.leg in ("stop", "target")
        or order.paired
        or session.settings.trading.unfilled == "keep"
    ):
        return False
    return grid.to_ms(order.open_time) < before

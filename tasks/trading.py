"""Steps about orders: ask the strategies, plan, send, follow, and close the books."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas import State as PrefectState
from sqlalchemy import text

from eightbells import metrics
from eightbells.candles import grid
from eightbells.exchange.permissions import require_trading_key
from eightbells.exchange.recovery import ExchangeError
from eightbells.strategies.evaluation import Decision, Moment, Refused, evaluate
from eightbells.trading import ledger, outbox
from eightbells.trading.execution import Desk, to_settle
from eightbells.trading.outbox import Order
from eightbells.trading.planning import plan_orders, record_refusals
from eightbells.trading.states import IN_FLIGHT, State
from tasks.candles import Ingested
from tasks.recovering import attempts_left, awaiting, recovering
from tasks.session import Session

_ASK_EVERY_SECONDS = 2.0


@dataclass
class Evaluated:
    """What the strategies said, and what was refused before they were asked."""

    decisions: list[Decision] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)


def moment_of(session: Session, opened: int) -> Moment:
    return Moment(session.settings.account, opened, session.now_ms, session.flow_run)


@task(task_run_name="check the key's permissions", cache_policy=NO_CACHE)
@recovering
async def check_key(session: Session) -> None:
    """Before real money is traded: the key may read and trade, and must not withdraw."""
    if session.settings.mode == "live":
        await require_trading_key(session.gateway)


@task(task_run_name="evaluate {label}", cache_policy=NO_CACHE)
def evaluate_strategies(
    session: Session, symbols: tuple[str, ...], opened: int, ingested: Ingested, label: str
) -> Evaluated:
    """Ask every strategy about every symbol whose candles are proven; keep why the others were not asked."""
    evaluated = Evaluated()
    moment = moment_of(session, opened)
    for symbol, reason in ingested.failed.items():
        evaluated.refused.append(Refused(symbol, "", "universe", reason))
    asked = tuple(symbol for symbol in symbols if symbol not in ingested.failed)
    for outcome in evaluate(session.engine, session.settings, ingested.verdicts, asked, moment):
        (evaluated.decisions if isinstance(outcome, Decision) else evaluated.refused).append(outcome)  # type: ignore[arg-type]
    with session.engine.begin() as connection:
        record_refusals(connection, evaluated.refused, moment)
    return evaluated


@task(task_run_name="plan orders for {label}", cache_policy=NO_CACHE)
def plan(session: Session, decisions: Iterable[Decision], symbols: int, opened: int, label: str) -> list[int]:
    """Commit the orders that the decisions call for to the outbox; returns those that wait to be sent."""
    return plan_orders(
        session.engine, session.settings, decisions, symbols, moment_of(session, opened)
    ).orders


@task(task_run_name="send {label}", cache_policy=NO_CACHE)
async def send_order(session: Session, order_id: int, label: str) -> State | PrefectState:
    """Send one planned order. A refusal that can be mended leads to another attempt, shown as this task's retry.

    Every attempt is a row of the outbox of its own, committed before it is sent.
    """
    desk = Desk(session.settings, session.engine, session.gateway, session.flow_run)
    with session.engine.connect() as connection:
        attempt = outbox.latest_attempt(connection, order_id)
    try:
        return await desk.send(attempt.id)
    except ExchangeError as error:
        mendable = error.failure.certainly_not_executed and attempts_left(error.failure) > 0
        if mendable and await desk.repair(order_id, error):
            return awaiting(error.failure, str(error))
        raise


@task(task_run_name="follow {label}", cache_policy=NO_CACHE)
@recovering
async def settle_order(session: Session, order: Order, label: str, cancel: bool) -> State:
    """Bring one order's books up to date: ask what became of it, book its fills, cancel it where that is due.

    One in flight is asked for until it is known, which takes as long as the exchange could still accept it.
    """
    desk = Desk(session.settings, session.engine, session.gateway, session.flow_run)
    if order.state in IN_FLIGHT:
        while (state := await desk.resolve(order)) is State.UNKNOWN:
            await asyncio.sleep(_ASK_EVERY_SECONDS)
            with session.engine.connect() as connection:
                order = outbox.load(connection, order.id)
        return state
    if cancel and order.state in (State.OPEN, State.PARTIALLY_FILLED):
        return await desk.cancel(order)
    return await desk.refresh(order)


async def send_orders(session: Session, orders: list[int]) -> None:
    """Send the planned orders side by side; one that fails stops only itself, its row says why."""
    with session.engine.connect() as connection:
        rows = [outbox.load(connection, order) for order in orders]
    await asyncio.gather(
        *(send_order(session, row.id, f"{row.side} {row.symbol}") for row in rows), return_exceptions=True
    )


async def settle_orders(session: Session, before: int | None = None) -> list[str]:
    """Follow every order that is not final; those of candles before `before` (ms) are cancelled by setting.

    Returns what could not be settled, in words.
    """
    orders = to_settle(session.engine, session.settings.account)
    cancelling = session.settings.trading.unfilled == "cancel" and before is not None
    outcomes = await asyncio.gather(
        *(
            settle_order(
                session, order, f"{order.side} {order.symbol}", cancelling and _is_older(order, before)
            )
            for order in orders
        ),
        return_exceptions=True,
    )
    return [str(outcome) for outcome in outcomes if isinstance(outcome, BaseException)]


def _is_older(order: Order, before: int | None) -> bool:
    return before is not None and grid.to_ms(order.open_time) < before


@dataclass(frozen=True)
class CycleReport:
    """What one cycle did, as its artifact and the terminal show it."""

    candle: str
    outcome: str
    ingested: Ingested
    evaluated: Evaluated
    orders: list[Order]
    fills: int
    refused: list[tuple[str, str, str, str]]
    equity: Decimal
    problems: list[str]


@task(task_run_name="close the books of {label}", cache_policy=NO_CACHE)
@recovering
async def close_books(
    session: Session, opened: int, ingested: Ingested, evaluated: Evaluated, problems: list[str], label: str
) -> CycleReport:
    """Fetch the balances, value what is held at the candle's close, and keep the cycle's row."""
    account = session.settings.account
    state = await session.gateway.account()
    at = grid.to_time(session.now_ms)
    with session.engine.begin() as connection:
        ledger.save_balances(connection, account, state["balances"], at)
        closes = dict(
            connection.execute(
                text(
                    'SELECT symbol, close FROM candles WHERE "interval" = :interval AND open_time = :opened'
                ),
                {"interval": grid.INTERVAL, "opened": grid.to_time(opened)},
            ).all()  # type: ignore[arg-type]
        )
        equity = ledger.equity(connection, session.settings, closes)
        orders = outbox.of_candle(connection, account, grid.to_time(opened))
        refused = _refusals(connection, account, opened)
        fills = ledger.fills_since(connection, account, grid.to_time(opened))
        outcome = "problems" if problems or ingested.failed else "complete"
        report = CycleReport(
            grid.label(opened), outcome, ingested, evaluated, orders, fills, refused, equity, problems
        )
        _save_cycle(session, connection, opened, report)
    metrics.CYCLES.labels(report.outcome).inc()
    return report


def _refusals(connection, account: str, opened: int) -> list[tuple[str, str, str, str]]:
    rows = connection.execute(
        text(
            "SELECT symbol, strategy, stage, reason FROM refusals WHERE account = :account AND open_time = :opened "
            "ORDER BY id"
        ),
        {"account": account, "opened": grid.to_time(opened)},
    )
    return [tuple(row) for row in rows]


def _save_cycle(session: Session, connection, opened: int, report: CycleReport) -> None:
    summary = {
        "inserted": report.ingested.inserted, "revised": report.ingested.revised,
        "quarantined": report.ingested.quarantined, "decisions": len(report.evaluated.decisions),
        "refusals": len(report.refused), "orders": len(report.orders), "fills": report.fills,
        "problems": report.problems,
    }  # fmt: skip
    connection.execute(
        text(
            "INSERT INTO cycles (account, open_time, finished_at, equity, summary, flow_run) "
            "VALUES (:account, :opened, :at, :equity, CAST(:summary AS jsonb), :run) "
            "ON CONFLICT (account, open_time) DO UPDATE SET finished_at = excluded.finished_at, "
            "equity = excluded.equity, flow_run = excluded.flow_run"
        ),
        {
            "account": session.settings.account, "opened": grid.to_time(opened), "run": session.flow_run,
            "at": grid.to_time(session.now_ms), "equity": report.equity, "summary": json.dumps(summary),
        },
    )  # fmt: skip

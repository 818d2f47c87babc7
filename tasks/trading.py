"""Steps about decisions: ask the strategies, close the books, and what a cycle reports."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from functools import partial

from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError, OperationalError

from eightbells import metrics
from eightbells.candles import grid
from eightbells.exchange.permissions import require_trading_key
from eightbells.exchange.rules import wire
from eightbells.settings import Settings
from eightbells.strategies.decision import Decision, EvaluationContext, Failed, Refused
from eightbells.strategies.evaluation import evaluate
from eightbells.strategies.obstacles import idle_strategies
from eightbells.strategies.panel import Panel
from eightbells.trading import holds, jumps, ledger, outbox, permission, switch, valuation
from eightbells.trading.capital import record_capital
from eightbells.trading.costs import keep_costs
from eightbells.trading.outbox import Order
from eightbells.trading.outcome import Found, Idle, placed_by, reasons, served_before, why_idle
from eightbells.trading.refusals import record_refusals
from eightbells.trading.valuation import PositionReport, Worth
from eightbells.universe.members import changed, fingerprint
from orchestration.exchange_task import exchange_task, limited_task
from orchestration.limits import progressed
from tasks.loading import Ingested
from tasks.orders import context_of
from tasks.session import Session

_ASKED_TOGETHER = 50  # symbols whose answers are one transaction, unless a strategy has to see all of them
_HISTORY = 180  # cycles that the equity's picture goes back: thirty days


@dataclass
class Evaluated:
    """What the strategies said, and what this run did not trade, and why."""

    decisions: list[Decision] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    idle: list[str] = field(default_factory=list)  # a line for each strategy that cannot trade

    @property
    def problems(self) -> list[str]:
        """One line for each strategy that failed or cannot trade."""
        failed: dict[str, list[Refused]] = {}
        for refused in self.refused:
            if isinstance(refused, Failed):
                failed.setdefault(refused.strategy, []).append(refused)
        return [
            f"{name} on {of[0].symbol}{f' and {len(of) - 1} more' * (len(of) > 1)}: {of[0].reason}"
            for name, of in failed.items()
        ] + self.idle


@exchange_task("check the key's permissions")
async def check_key(session: Session) -> None:
    """Before real money is traded: the key may read and trade, and must not withdraw."""
    if session.settings.mode == "live":
        await require_trading_key(session.gateway)


@limited_task("prepare the strategies")
async def prepare_strategies(session: Session) -> Panel:
    """Note the strategies' capital, and construct them in their process; one that fails keeps no other from running."""
    with session.engine.begin() as connection:
        record_capital(connection, session.settings, grid.to_time(session.now_ms))
    return await asyncio.to_thread(Panel, session.settings, progressed)


@limited_task("evaluate {label}")
async def evaluate_strategies(
    session: Session, panel: Panel, symbols: tuple[str, ...], opened: int, ingested: Ingested, label: str
) -> Evaluated:
    """Ask every strategy about every symbol whose candles are proven; keep why the others were not asked."""
    evaluated = Evaluated()
    context = context_of(session, opened)
    for symbol, reason in ingested.failed.items():
        evaluated.refused.append(Refused(symbol, "", "universe", reason))
    asked = tuple(symbol for symbol in symbols if symbol not in ingested.failed)
    held = _hold_jumps(session, panel, symbols, opened)
    evaluated.refused += [Refused(it, "", "hold", held[it]) for it in asked if it in held]
    open_to_all = tuple(symbol for symbol in asked if symbol not in held)
    # in a thread: the frames of the next close are read meanwhile
    for outcome in await asyncio.to_thread(_ask, session, panel, open_to_all, ingested, context):
        (evaluated.decisions if isinstance(outcome, Decision) else evaluated.refused).append(outcome)  # type: ignore[arg-type]
    with session.engine.begin() as connection:
        record_refusals(connection, evaluated.refused, context)
        windows = {member.name: member.window for member in panel.members}
        evaluated.idle = idle_strategies(connection, session.settings, windows, ingested.failed, asked)
    return evaluated


def _hold_jumps(session: Session, panel: Panel, symbols: tuple[str, ...], opened: int) -> dict[str, str]:
    """Hold the symbols whose price has jumped. Returns those for which nothing may be sent, with the reason."""
    settings, now = session.settings, session.now_ms
    with session.engine.connect() as connection:
        if opened >= grid.last_closed(now):  # on an older candle nothing is traded
            looked = {*symbols, *valuation.symbols_held(connection, settings.account)}
            found = jumps.find(connection, settings, looked, opened, panel.window(settings.candles.refetch))
            if found:
                jumps.hold(session.engine, settings.account, found, now)
        return holds.held_symbols(connection, settings.account, buying=False)


def _ask(
    session: Session, panel: Panel, symbols: tuple[str, ...], ingested: Ingested, context: EvaluationContext
) -> list[Decision | Refused]:
    """The strategies' answers. Where another worker decides at the same moment, its decisions are found and taken."""
    answers: list[Decision | Refused] = []
    together = len(symbols) if any(member.sees_all for member in panel.members) else _ASKED_TOGETHER
    for first in range(0, len(symbols), together or 1):
        some = symbols[first : first + together]
        most = session.settings.candles.max_pause
        ask = partial(evaluate, session.engine, panel, ingested.verdicts, some, context, most)
        try:
            answers += ask()
        except (IntegrityError, OperationalError):  # all of them are in the books by now, or none
            answers += ask()
    return answers


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
    asset: str
    positions: list[PositionReport]
    history: list[Worth]  # equity of the newest cycles, this one the last
    placed: frozenset[int]  # which of the orders this run has placed
    idle: Idle | None  # why it has placed none
    reasons: dict[int, str]  # why orders are in their state, where their newest event says so
    universe: list[tuple[str, str, str]]  # who joined or left it since the cycle before, and why


@exchange_task("close the books of {label}")
async def close_books(
    session: Session,
    opened: int,
    ingested: Ingested,
    evaluated: Evaluated,
    problems: list[str],
    label: str,
    trade: bool = True,
) -> CycleReport:
    """Fetch the balances, value what is held at the candle's close, and keep the cycle's row."""
    account = session.settings.account
    problems = list(dict.fromkeys([*evaluated.problems, *problems]))  # several steps may meet the same one
    balances = await session.gateway.balances()
    at = grid.to_time(session.now_ms)
    with session.engine.begin() as connection:
        ledger.save_balances(connection, account, balances, at)
        equity = valuation.equity(connection, session.settings, opened)
        capital = ledger.capital(connection, account)
        orders = outbox.of_candle(connection, account, grid.to_time(opened))
        refused = _refusals(connection, account, opened)
        fills = ledger.fills_booked_by(connection, account, session.flow_run)
        outcome = "problems" if problems or ingested.failed else "complete"
        position_reports = valuation.position_reports(connection, session.settings, opened)
        placed = placed_by(connection, account, grid.to_time(opened), session.flow_run)
        idle = None if placed else _why_idle(session, connection, opened, evaluated, len(orders), trade)
        before = valuation.equity_history(connection, account, grid.to_time(opened) - grid.STEP, _HISTORY - 1)
        report = CycleReport(
            grid.label(opened),
            outcome,
            ingested,
            evaluated,
            orders,
            fills,
            refused,
            equity,
            problems,
            session.settings.quote_asset,
            position_reports,
            [*before, Worth(grid.to_time(opened), equity, capital)],
            placed,
            idle,
            reasons(connection, [order.id for order in orders]),
            changed(
                connection,
                session.settings,
                _close_before(connection, session.settings, opened),
                grid.closes_at(opened),
            ),
        )
        _save_cycle(session, connection, opened, report)
        keep_costs(connection, account)
    metrics.CYCLES.labels(report.outcome).inc()
    return report


def _why_idle(
    session: Session, connection: Connection, opened: int, evaluated: Evaluated, orders: int, trade: bool
) -> Idle:
    settings = session.settings
    return why_idle(
        Found(
            asked=trade,
            strategies=len(settings.strategies),
            off=switch.switched_off(connection),
            late=permission.lateness(opened, session.now_ms, settings),
            served=served_before(connection, settings.account, grid.to_time(opened), session.flow_run),
            earlier=orders,
            decisions=len(evaluated.decisions),
            refused=evaluated.refused,
        )
    )


def _close_before(connection: Connection, settings: Settings, opened: int) -> int | None:
    """The close (ms) of the cycle before that went by the same rule; None where there is none."""
    before = connection.execute(
        text(
            "SELECT max(open_time) FROM cycles "
            "WHERE account = :account AND open_time < :opened AND summary ->> 'rule' = :rule"
        ),
        {"account": settings.account, "opened": grid.to_time(opened), "rule": fingerprint(settings)},
    ).scalar_one()
    return None if before is None else grid.closes_at(grid.to_ms(before))


def _refusals(connection: Connection, account: str, opened: int) -> list[tuple[str, str, str, str]]:
    rows = connection.execute(
        text(
            "SELECT symbol, strategy, stage, reason FROM refusals WHERE account = :account AND open_time = :opened "
            "ORDER BY id"
        ),
        {"account": account, "opened": grid.to_time(opened)},
    )
    return [tuple(row) for row in rows]


def _save_cycle(session: Session, connection: Connection, opened: int, report: CycleReport) -> None:
    summary = {
        "inserted": report.ingested.inserted,
        "revised": report.ingested.revised,
        "quarantined": report.ingested.quarantined,
        "decisions": len(report.evaluated.decisions),
        "refusals": len(report.refused),
        "orders": len(report.orders),
        "fills": report.fills,
        "problems": report.problems,
        "rule": fingerprint(session.settings) if session.settings.universe.top else None,
    }
    connection.execute(
        text(
            "INSERT INTO cycles (account, open_time, finished_at, equity, capital, positions, summary, flow_run) "
            "VALUES (:account, :opened, :at, :equity, :capital, CAST(:positions AS jsonb), "
            "CAST(:summary AS jsonb), :run) "
            "ON CONFLICT (account, open_time) DO UPDATE SET finished_at = excluded.finished_at, "
            "equity = excluded.equity, capital = excluded.capital, positions = excluded.positions, "
            "flow_run = excluded.flow_run, "
            # what was found by the first run stays; what is wrong is what the newest says
            "summary = cycles.summary || jsonb_build_object('problems', excluded.summary -> 'problems')"
        ),
        {
            "account": session.settings.account,
            "opened": grid.to_time(opened),
            "run": session.flow_run,
            "at": grid.to_time(session.now_ms),
            "equity": report.equity,
            "capital": report.history[-1].capital,
            "summary": json.dumps(summary),
            "positions": json.dumps([asdict(it) for it in report.positions], default=wire),
        },
    )

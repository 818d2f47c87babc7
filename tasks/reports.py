"""Artifacts: what a person reads in the UI after a run."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from decimal import Decimal
from uuid import UUID

from prefect.artifacts import acreate_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.runtime import flow_run

from eightbells.candles import grid
from eightbells.candles.timeframe import Timeframe
from eightbells.exchange.rules import wire
from eightbells.trading.reconciliation import Reconciliation
from eightbells.trading.valuation import PositionReport
from orchestration.exchange_task import limited_task
from tasks.equity_picture import draw, points
from tasks.loading import Ingested
from tasks.trading import CycleReport

_MOST_NAMED = 50  # symbols in a row of a report
_MOST_FILES = 20  # of the archive, named in the report of a backfill


async def name_run(name: str) -> None:
    """Give the flow run the name that only the exchange's clock could tell."""
    if run := flow_run.get_id():
        async with get_client() as client:
            await client.update_flow_run(UUID(run), name=name)


@limited_task("report of {label}")
async def publish_cycle(report: CycleReport, label: str) -> None:
    """Publish what was ingested, what validation said, the signals and the orders of one cycle."""
    await acreate_markdown_artifact(
        cycle_markdown(report), key="cycle-report", description=f"Candle {label} UTC: {_in_short(report)}"
    )


@limited_task("report of the backfill")
async def publish_backfill(
    symbols: Sequence[str], start: int, end: int, timeframe: Timeframe, ingested: Ingested
) -> None:
    """Publish what a backfill brought."""
    rows = [
        ("span", f"{grid.label(start)} to {grid.label(end)} UTC"),
        ("symbols", _first_of(symbols)),
        ("interval", timeframe.name),
        ("candles checked", f"{ingested.checked:,}"),
        ("stored", f"{ingested.inserted:,}"),
        ("restated by the exchange", ingested.revised),
        ("quarantined", ingested.quarantined),
        ("newly recorded as absent", ingested.absent),
        ("stored, but odd", _odd(ingested)),
        *((f"left out: {symbol}", reason) for symbol, reason in ingested.failed.items()),
        *((f"not used: {file}", reason) for file, reason in [*ingested.unusable.items()][:_MOST_FILES]),
        *([("files not used", len(ingested.unusable))] if ingested.unusable else []),
    ]
    await acreate_markdown_artifact(
        "# Backfill\n\n" + _table(("what", "came of it"), rows),
        key="backfill-report",
        description=f"{ingested.inserted:,} candles of {len(symbols)} symbols stored",
    )


def _odd(ingested: Ingested) -> str:
    return (
        ", ".join(f"{code.replace('_', ' ')} ({count})" for code, count in ingested.warned.items()) or "none"
    )


def _first_of(symbols: Sequence[str]) -> str:
    more = f" and {len(symbols) - _MOST_NAMED} more" if len(symbols) > _MOST_NAMED else ""
    return ", ".join(symbols[:_MOST_NAMED]) + more


@limited_task("report of the reconciliation")
async def publish_reconciliation(found: Reconciliation, problems: list[str]) -> None:
    """Publish what the exchange and the books do not agree on."""
    drifts = [(drift.id, drift.symbol, drift.detail) for drift in found.drifts]
    verdict = "agree" if not drifts else "do not agree"
    sections = [
        f"# The exchange and the books {verdict}",
        f"{found.orders} orders seen, {found.foreign} of them not ours; {found.accepted} drifts were accepted.",
        _table(("drift", "symbol", "what differs"), drifts),
        *(f"- {problem}" for problem in problems),
    ]
    await acreate_markdown_artifact(
        "\n\n".join(sections), key="reconciliation", description=f"Books {verdict}"
    )


def _in_short(report: CycleReport) -> str:
    held = {it.symbol for it in report.positions if it.quantity > it.dust}
    return (
        f"equity {report.equity:,.2f} {report.asset}, symbols held: {len(held)}, orders: {len(report.orders)}, "
        f"not traded: {len(report.refused)}"
    )


def cycle_markdown(report: CycleReport) -> str:
    """The cycle's report: what it led to, and then what that rests on."""
    ingested = report.ingested
    verdicts = [
        (
            verdict.symbol,
            verdict.checked,
            verdict.failed,
            "passed" if verdict.success else "failed",
            verdict.words,
        )
        for verdict in sorted(ingested.verdicts.values(), key=lambda verdict: verdict.symbol)
    ]
    signals = [
        (decision.symbol, decision.strategy, decision.target, wire(decision.price), decision.reason)
        for decision in report.evaluated.decisions
    ]
    orders = [
        (
            order.symbol,
            order.strategy,
            order.side,
            order.type,
            wire(order.quantity),
            "market" if order.price is None else wire(order.price),
            order.state,
            wire(order.executed_quantity),
            f"`{order.client_order_id}`",
        )
        for order in report.orders
    ]
    refused = [
        (symbol, strategy or "all", stage, reason) for symbol, strategy, stage, reason in report.refused
    ]
    sections = [
        f"# Candle {report.candle} UTC: {report.outcome}",
        *(f"- {problem}" for problem in [*report.problems, *ingested.failed.values()]),
        "## Equity",
        _equity(report),
        _picture(draw(report.history, report.asset)),
        "## Orders",
        _table(
            ("symbol", "strategy", "side", "type", "quantity", "price", "state", "executed", "id"), orders
        ),
        *([f"Nothing was ordered: {report.idle.words}."] if report.idle else []),
        "## Not traded",
        _table(("symbol", "strategy", "stage", "reason"), refused),
        *(
            ["## Universe", _table(("symbol", "change", "reason"), report.universe)]
            if report.universe
            else []
        ),
        "## Positions",
        f"In {report.asset}, at the candle's close. Dust is too little for the exchange to take. Fees are those in "
        "a third asset, such as BNB; all others are in cost and profit.",
        _positions(report.positions),
        "## Signals",
        _table(("symbol", "strategy", "target", "close", "reason"), signals),
        "## Validation",
        f"{ingested.checked} candles checked, {ingested.inserted} stored, {ingested.revised} restated by the "
        f"exchange, {ingested.quarantined} quarantined, {ingested.absent} recorded as absent. "
        f"Stored, but odd: {_odd(ingested)}.",
        _table(("symbol", "checked", "failed", "verdict", "reasons"), verdicts),
    ]
    return "\n\n".join(sections)


def _equity(report: CycleReport) -> str:
    highest = points(report.history)[-1].peak
    lost = f"{1 - report.equity / highest:.2%} below " if 0 < report.equity < highest else ""
    words = f"{lost}its highest of the last {len(report.history)} cycles; what lies below is shaded."
    return f"**{report.equity:,.2f} {report.asset}**, {words}"


def _picture(svg: str) -> str:
    """An image in the markdown itself: Prefect strips raw svg, and shows it as a data URI."""
    return f"![Equity over the last cycles](data:image/svg+xml;base64,{b64encode(svg.encode()).decode()})"


def _positions(positions: list[PositionReport]) -> str:
    """What is held, with its profit; of what is sold, what it has brought."""
    head = ("symbol", "strategy", "quantity", "dust", "average cost", "unrealised", "realised", "fees")
    rows: list[tuple[object, ...]] = [
        (
            it.symbol,
            it.strategy,
            wire(it.quantity),
            wire(it.dust),
            "" if it.average_cost is None else _price(it.average_cost),
            _profit(it.unrealised),
            _profit(it.realised),
            _fee(it.fees),
        )
        for it in sorted(positions, key=lambda it: (it.quantity <= 0, it.symbol, it.strategy))
    ]
    if rows:
        unrealised = sum((it.unrealised for it in positions), Decimal(0))
        realised = sum((it.realised for it in positions), Decimal(0))
        fees = sum((it.fees for it in positions), Decimal(0))
        rows.append(("all", "", "", "", "", _profit(unrealised), _profit(realised), _fee(fees)))
    return _table(head, rows)


def _profit(amount: Decimal) -> str:
    return f"{amount:+,.2f}"


def _fee(amount: Decimal) -> str:
    return f"{amount:,.2f}" if amount else ""


def _price(amount: Decimal) -> str:
    """At least cents, at most eight places, and of what is cheap the first six digits."""
    return f"{amount:,.{min(8, max(2, 5 - amount.adjusted()))}f}"


def _table(head: tuple[str, ...], rows: Sequence[tuple[object, ...]]) -> str:
    if not rows:
        return "None."
    lines: list[Sequence[object]] = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines
    )

"""Artifacts: what a person reads in the UI after a run."""

from __future__ import annotations

from uuid import UUID

from prefect import task
from prefect.artifacts import acreate_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.runtime import flow_run

from eightbells.candles import grid
from eightbells.exchange.rules import wire
from eightbells.trading.reconciliation import Reconciliation
from tasks.candles import Ingested
from tasks.session import Session
from tasks.trading import CycleReport


async def name_run(name: str) -> None:
    """Give the flow run the name that only the exchange's clock could tell."""
    if run := flow_run.get_id():
        async with get_client() as client:
            await client.update_flow_run(UUID(run), name=name)


@task(task_run_name="report of {label}", cache_policy=NO_CACHE)
async def publish_cycle(report: CycleReport, label: str) -> None:
    """Publish what was ingested, what validation said, the signals and the orders of one cycle."""
    await acreate_markdown_artifact(
        cycle_markdown(report), key="cycle-report", description=f"Candle {label} UTC"
    )


@task(task_run_name="report of the backfill", cache_policy=NO_CACHE)
async def publish_backfill(
    session: Session, symbols: tuple[str, ...], start: int, end: int, ingested: Ingested
) -> None:
    """Publish what a backfill brought."""
    rows = [
        ("span", f"{grid.label(start)} to {grid.label(end)} UTC"), ("symbols", ", ".join(symbols)),
        ("candles checked", f"{ingested.checked:,}"), ("stored", f"{ingested.inserted:,}"),
        ("restated by the exchange", ingested.revised), ("quarantined", ingested.quarantined),
        ("newly recorded as absent", ingested.absent),
    ]  # fmt: skip
    await acreate_markdown_artifact(
        "# Backfill\n\n" + _table(("", ""), rows),
        key="backfill-report",
        description=f"{len(symbols)} symbols",
    )


@task(task_run_name="report of the reconciliation", cache_policy=NO_CACHE)
async def publish_reconciliation(found: Reconciliation, problems: list[str]) -> None:
    """Publish what the exchange and the books do not agree on."""
    drifts = [(drift.id, drift.symbol, drift.kind, drift.detail) for drift in found.drifts]
    verdict = "agree" if not drifts else "do not agree"
    sections = [
        f"# The exchange and the books {verdict}",
        f"{found.orders} orders seen, {found.foreign} of them not ours; {found.accepted} drifts were accepted.",
        _table(("drift", "symbol", "kind", "what differs"), drifts),
        *(f"- {problem}" for problem in problems),
    ]
    await acreate_markdown_artifact(
        "\n\n".join(sections), key="reconciliation", description=f"Books {verdict}"
    )


def cycle_markdown(report: CycleReport) -> str:
    """The cycle's report, one section a stage."""
    ingested = report.ingested
    verdicts = [
        (
            verdict.symbol, verdict.checked, verdict.failed, "passed" if verdict.success else "failed",
            ", ".join(f"{reason} ({count})" for reason, count in verdict.reasons.items()),
        )
        for verdict in sorted(ingested.verdicts.values(), key=lambda verdict: verdict.symbol)
    ]  # fmt: skip
    signals = [
        (decision.symbol, decision.strategy, decision.target, wire(decision.price), decision.reason)
        for decision in report.evaluated.decisions
    ]
    orders = [
        (
            order.symbol, order.strategy, order.side, order.type, wire(order.quantity),
            "market" if order.price is None else wire(order.price), order.state, wire(order.executed_quantity),
            f"`{order.client_order_id}`",
        )
        for order in report.orders
    ]  # fmt: skip
    sections = [
        f"# Candle {report.candle} UTC: {report.outcome}",
        f"Equity **{report.equity:,.2f}**",
        *(f"- {problem}" for problem in [*report.problems, *ingested.failed.values()]),
        "## Ingested",
        f"{ingested.checked} candles checked, {ingested.inserted} stored, {ingested.revised} restated by the "
        f"exchange, {ingested.quarantined} quarantined, {ingested.absent} recorded as absent.",
        "## Validation",
        _table(("symbol", "checked", "failed", "verdict", "reasons"), verdicts),
        "## Signals",
        _table(("symbol", "strategy", "target", "close", "reason"), signals),
        "## Orders",
        _table(
            ("symbol", "strategy", "side", "type", "quantity", "price", "state", "executed", "id"), orders
        ),
        "## Not traded",
        _table(("symbol", "strategy", "stage", "reason"), report.refused),
    ]
    return "\n\n".join(sections)


def _table(head: tuple[str, ...], rows: list[tuple[object, ...]]) -> str:
    if not rows:
        return "None."
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines
    )

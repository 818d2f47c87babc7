"""Steps that compare what is stored with what the exchange answers now."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

from prefect.artifacts import acreate_markdown_artifact, acreate_table_artifact
from sqlalchemy import text

from eightbells.candles.coverage import Month, coverage
from eightbells.candles.timeframe import CYCLE
from eightbells.certification import Difference, compare
from eightbells.exchange.history import fetch_pages, plan_pages
from eightbells.exchange.recovery import ExchangeError
from orchestration.exchange_task import exchange_task, limited_task
from orchestration.limits import progressed
from tasks.loading import for_good
from tasks.session import Session

_WITH_CANDLES = (
    "SELECT s.symbol FROM unnest(CAST(:symbols AS text[])) AS s (symbol) "
    "WHERE EXISTS (SELECT FROM candles AS c WHERE c.symbol = s.symbol)"
)
_MOST_SHOWN = 1000  # differences in the artifact


@dataclass
class Certified:
    """What a comparison found: how many candles it looked at, the differences, and why symbols failed."""

    candles: int = 0
    differences: list[Difference] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


@exchange_task("compare {slots} candles")
async def compare_candles(
    session: Session, symbols: Sequence[str], first_ms: int, last_ms: int, slots: int
) -> Certified:
    """Ask the exchange for the span of each symbol again, and compare. A symbol that fails stops only itself."""
    pages = plan_pages(dict.fromkeys(symbols, CYCLE.slots(first_ms, last_ms)))
    certified, failures = Certified(), dict[str, ExchangeError]()
    async for page, outcome in fetch_pages(session.gateway, pages):
        progressed()
        if isinstance(outcome, ExchangeError):
            failures[page.symbol] = outcome
            continue
        with session.engine.connect() as connection:
            candles, found = await asyncio.to_thread(compare, connection, outcome)
        certified.candles += candles
        certified.differences += found
    certified.failed = for_good(failures)
    certified.differences.sort(key=lambda it: (it.symbol, it.open_time))
    return certified


@limited_task("report of the comparison")
async def publish_certified(certified: Certified, span: str) -> None:
    """Publish every difference with both values."""
    found = certified.differences
    said = f"{certified.candles:,} candles compared, {span}: {len(found):,} differences"
    if not found:
        await acreate_markdown_artifact(f"# {said}", key="certificate", description=said)
        return
    rows = [
        {
            "symbol": it.symbol,
            "candle": f"{it.open_time:%Y-%m-%d %H:%M}",
            "figure": it.figure,
            "stored": it.stored,
            "from": it.source,
            "exchange": it.exchange,
        }
        for it in found[:_MOST_SHOWN]
    ]
    await acreate_table_artifact(rows, key="certificate", description=said)


@limited_task("coverage map")
async def publish_coverage(session: Session, symbols: Sequence[str]) -> None:
    """Publish which share of each month's slots is stored, a row per symbol and year."""
    with session.engine.connect() as connection:
        stored = connection.execute(text(_WITH_CANDLES), {"symbols": list(symbols)}).scalars().all()
        found = coverage(connection, session.now_ms, stored) if stored else []
    slots, there = sum(it.slots for it in found), sum(it.stored for it in found)
    await acreate_markdown_artifact(
        coverage_markdown(found),
        key="coverage",
        description=f"{there:,} of {slots:,} slots stored, {len(stored)} symbols",
    )


def coverage_markdown(found: Sequence[Month]) -> str:
    """The coverage map as a table: which percentage of each month's slots is stored, rounded down.

    Its signs are narrow and in every font: twelve months fit beside each other in the UI.
    """
    if not found:
        return "# Coverage\n\nNo candle is stored."
    months = range(1, 13)
    lines = [["symbol", "year", *map(str, months), "missing"], ["---"] * 15]
    for (symbol, year), group in groupby(found, lambda it: (it.symbol, it.month.year)):
        known = {it.month.month: it for it in group}
        missing = sum(it.slots - it.stored for it in known.values())
        cells = [_cell(known.get(month)) for month in months]
        lines.append([symbol, str(year), *cells, str(missing or "")])
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    legend = (
        "Percent of each month's slots that is stored. ✓ all of them; a number alone: the exchange does not have the "
        "rest; ✗ some are open or quarantined."
    )
    return f"# Coverage\n\n{legend}\n\n{table}"


def _cell(month: Month | None) -> str:
    if month is None:
        return ""
    if month.stored == month.slots:
        return "✓"
    percent = 100 * month.stored // month.slots
    return f"✗ {percent}" if month.open or month.quarantined else str(percent)

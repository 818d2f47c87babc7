"""Steps that compare what is stored with what the exchange answers now."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from prefect.artifacts import acreate_markdown_artifact, acreate_table_artifact

from eightbells.candles import grid
from eightbells.certification import Difference, compare
from eightbells.exchange.history import fetch_pages, plan_pages
from eightbells.exchange.recovery import ExchangeError
from orchestration.exchange_task import exchange_task, limited_task
from orchestration.limits import progressed
from tasks.loading import for_good
from tasks.session import Session

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
    wanted = np.arange(first_ms, last_ms + 1, grid.STEP_MS, dtype=np.int64)
    pages = [page for symbol in symbols for page in plan_pages(symbol, wanted)]
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

"""Certify: compare stored candles with what the exchange answers now."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from prefect import flow
from prefect.runtime import flow_run

from eightbells.candles import grid
from eightbells.errors import EightbellsError
from tasks.candles import refresh_rules
from tasks.certifying import Certified, compare_candles, publish_certified, publish_coverage
from tasks.session import open_session


def _run_name() -> str:
    start = flow_run.parameters.get("start")
    return f"certify from {start}" if start else "certify the last thirty days"


@flow(name="certify", flow_run_name=_run_name)
async def certify(
    symbols: list[str] | None = None, start: date | None = None, end: date | None = None
) -> Certified:
    """Compare stored candles, whoever brought them, with what the exchange answers over REST. Nothing is changed.

    Its artifacts are `certificate`, with every difference, and `coverage`, the share of each month's slots that is
    stored.

    Args:
        symbols: Symbols to compare, such as BTCUSDT. None: those of eightbells.toml.
        start: First day, UTC. None: thirty days ago.
        end: Last day, UTC. None: up to the newest closed candle.
    """
    async with open_session("backfill_seconds") as session:
        today = grid.to_time(session.now_ms).date()
        begin = start or today - timedelta(days=30)
        first, last = _midnight(begin), grid.last_closed(session.now_ms)
        if end is not None:
            last = min(last, _midnight(end + timedelta(days=1)) - grid.STEP_MS)
        if first > last:
            raise EightbellsError(
                f"no closed candle lies between the start {begin} and the end {end or today}"
            )
        universe = await refresh_rules(session, symbols or session.settings.symbols, bool(symbols))
        slots = len(universe.symbols) * ((last - first) // grid.STEP_MS + 1)
        certified = await compare_candles(session, universe.symbols, first, last, slots)
        certified.failed |= universe.refused
        await publish_certified(certified, f"{grid.label(first)} to {grid.label(last)} UTC")
        await publish_coverage(session, universe.symbols)
        return certified


def _midnight(day: date) -> int:
    return grid.to_ms(datetime(day.year, day.month, day.day, tzinfo=UTC))

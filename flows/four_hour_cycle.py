"""The four-hour cycle: validate the candle that has just closed, evaluate the strategies, place their orders."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from prefect import flow
from prefect.client.schemas import State
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from eightbells.candles import grid
from orchestration.newer_run import is_of_schedule, newer_run
from tasks.candles import EARLY_MS, await_close, fetch_newest, refresh_holdings, refresh_rules
from tasks.documenting import publish_data_docs
from tasks.orders import waiting_orders
from tasks.reports import name_run
from tasks.session import open_session
from tasks.stages import stage
from tasks.trade_candle import trade_candle
from tasks.trading import CycleReport, check_key, prepare_strategies
from tasks.universe import choose_universe, without_leavers


def _run_name() -> str:
    chosen = flow_run.parameters.get("candle")
    if chosen:
        return f"candle {str(chosen)[:16].replace('T', ' ')}"
    return f"candle {grid.label(grid.last_closed(grid.to_ms(_due()) + EARLY_MS))}"


def _due() -> datetime:
    """When the run was to start, as a plain datetime: Prefect gives one of pendulum's."""
    due = flow_run.scheduled_start_time
    return datetime.fromtimestamp(due.timestamp(), UTC) if due else datetime.now(UTC)


@flow(name="four-hour-cycle", flow_run_name=_run_name)
async def four_hour_cycle(
    candle: datetime | None = None, symbols: list[str] | None = None, trade: bool = True
) -> CycleReport | State[Any]:
    """Run the watch for the candle that has just closed, or for a past one.

    Running it again for the same candle places nothing new. On a candle older than `max_candle_age_minutes`
    nothing is traded. Of scheduled runs that were held up the newest does the work, for the newest closed candle.

    Args:
        candle: Open time of the candle, 00:00, 04:00 ... 20:00 UTC. None: the newest closed one.
        symbols: Symbols to run for, such as BTCUSDT. None: the universe of eightbells.toml.
        trade: Switch off to fetch, prove and evaluate without placing orders.
    """
    if candle is None and symbols is None and trade and (later := await newer_run()):
        return Completed(
            name="SkippedStale", message=f"the run that is due at {later.expected_start_time} does its work"
        )
    async with open_session() as session:
        if trade:
            await check_key(session)
        opened = await await_close(session, candle)
        label = grid.label(opened)
        await name_run(f"candle {label}")
        with stage("rules"):
            wanted = symbols or await choose_universe(session, opened, label)
            universe = await refresh_rules(session, wanted, bool(symbols), session.settings.quote_asset)
            others = await refresh_holdings(session, universe)
        with stage("fetch"):
            panel = await prepare_strategies(session)
            window = panel.window(session.settings.candles.refetch)
            fetched = (*universe.symbols, *others.symbols)
            ingested = await fetch_newest(session, fetched, opened, window, label)
        ingested.failed |= universe.refused | others.refused
        asked = universe.symbols
        if not symbols:  # else the members' candles have not been fetched
            asked = await without_leavers(session, asked, opened, ingested, label)
        report = await trade_candle(session, panel, asked, opened, ingested, label, trade=trade)
        if ingested.quarantined or ingested.warned:
            await publish_data_docs(session.settings)
        if trade and is_of_schedule() and (waiting := waiting_orders(session, opened)):
            return Failed(message=waiting)  # so that it is started again while its candle is fresh
        return report

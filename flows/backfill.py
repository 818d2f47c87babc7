"""Backfill: load, prove and store the history of any symbols, and settle what the exchange does not have."""

from __future__ import annotations

from contextlib import aclosing
from datetime import date

from prefect import flow
from prefect.runtime import flow_run

from eightbells.candles import grid
from eightbells.candles.timeframe import CYCLE, Interval, Timeframe
from eightbells.errors import EightbellsError
from tasks.archive import Source, load_archive
from tasks.candles import refresh_rules
from tasks.documenting import publish_data_docs
from tasks.history import ask_again, load_history, plan_history, symbols_quoted_in
from tasks.loading import Ingested, importing_suite, merged
from tasks.reports import publish_backfill
from tasks.session import Session, open_session
from tasks.sharing import JOINED, groups, moment, start_runs

_MOST_RUNS = 100


def _run_name() -> str:
    given = flow_run.parameters
    symbols = given.get("symbols") or ["all symbols"]
    if given.get("quote"):
        symbols = [f"symbols quoted in {given['quote']}"]
    named = ", ".join(symbols[:3]) + (f" and {len(symbols) - 3} more" if len(symbols) > 3 else "")
    return f"{named} from {given.get('start') or 'the beginning'}"


@flow(name="backfill", flow_run_name=_run_name)
async def backfill(
    symbols: list[str] | None = None,
    quote: str | None = None,
    start: date | None = None,
    end: date | None = None,
    interval: Interval = CYCLE.name,
    source: Source = "rest",
    runs: int = 1,
) -> Ingested:
    """Load the candles of a span into Postgres.

    Candles that are stored already are not asked for again; running it twice changes nothing. Slots that the
    exchange does not have are asked for twice and then recorded as absent.

    Args:
        symbols: Symbols to load, such as BTCUSDT. None: those of eightbells.toml.
        quote: Load all symbols that are quoted in it, such as USDT, delisted ones included. ALL: all there are.
        start: First day, UTC. None: the beginning of history.
        end: Last day, UTC. None: up to the newest closed candle.
        interval: Length of the candles, such as 1h. The cycle trades on 4h, whatever else is stored.
        source: rest; archive: files of the exchange's archive, and REST for what they lack; auto: files for months
            that take REST more than one request each.
        runs: How many runs share the symbols. This one starts the others, which any worker may take.
    """
    if not 1 <= runs <= _MOST_RUNS:
        raise EightbellsError(f"runs is {runs}: it must lie between 1 and {_MOST_RUNS}")
    async with importing_suite(), open_session("backfill_seconds") as session:
        timeframe = Timeframe.named(interval)
        first, last = _span(session, start, end, timeframe)
        if symbols and quote:
            raise EightbellsError("give symbols, or the asset that they are quoted in, not both")
        since = moment(session) if runs > 1 else None
        wanted = await symbols_quoted_in(session, quote) if quote else symbols or session.settings.symbols
        universe = await refresh_rules(session, wanted, chosen=bool(symbols))
        if runs > 1 and JOINED not in flow_run.tags:
            await start_runs(runs - 1, flow_run.parameters)
        ingested = Ingested()
        async with aclosing(groups(session, universe.symbols, timeframe, runs)) as shared:
            async for group in shared:
                plan = await plan_history(session, group, first, last, timeframe, since)
                ingested.failed |= plan.failed
                if source != "rest":
                    ingested = merged(ingested, await load_archive(session, plan, source))
                    plan = await plan_history(session, group, first, last, timeframe, since)
                ingested = merged(ingested, await load_history(session, plan, plan.slots))
                ingested = merged(ingested, await ask_again(session, plan))
        if universe.symbols and len(ingested.failed) == len(universe.symbols):
            first_reason = next(iter(ingested.failed.values()))
            raise EightbellsError(f"no symbol's candles could be fetched: {first_reason}")
        ingested.failed |= universe.refused
        await publish_backfill(universe.symbols, first, last, timeframe, ingested)
        await publish_data_docs(session.settings)
        return ingested


def _span(session: Session, start: date | None, end: date | None, timeframe: Timeframe) -> tuple[int, int]:
    """First and last slot (ms) of the span that is over."""
    begin = start or session.settings.candles.history_start
    newest = timeframe.last_closed(session.now_ms)
    until = end or grid.to_time(newest).date()
    first, last = timeframe.within(begin, until)
    if end is not None and end < begin:
        raise EightbellsError(f"the start {begin} lies after the end {end}")
    if first > newest:
        raise EightbellsError(f"the start {begin} lies after the newest closed candle {grid.label(newest)}")
    if first > last:
        raise EightbellsError(f"no candle of interval {timeframe.name} opens from {begin} to {end}")
    return first, min(last, newest)

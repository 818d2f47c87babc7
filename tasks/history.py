"""Steps of a backfill: which symbols and slots, fetch, prove, store, and ask again for what did not come."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from sqlalchemy import Connection, text

from eightbells.candles import gaps, grid
from eightbells.candles.timeframe import CYCLE, Slots, Timeframe
from eightbells.errors import EightbellsError
from eightbells.exchange.history import Page, plan_pages
from eightbells.exchange.recovery import ExchangeError
from eightbells.exchange.universe import by_symbol, first_candle
from orchestration.exchange_task import exchange_task
from orchestration.limits import progressed
from tasks.loading import Ingested, for_good, load
from tasks.progress import shown_progress
from tasks.session import Session


@dataclass(frozen=True)
class Plan:
    """What a backfill asks for.

    Args:
        pages: they cover what the exchange was never asked for.
        unsettled: by symbol the slots that were asked for before and had no candle.
        failed: why symbols failed that the exchange refused to speak of.
    """

    timeframe: Timeframe
    first_ms: int
    last_ms: int
    pages: list[Page] = field(default_factory=list)
    unsettled: dict[str, Slots] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def slots(self) -> int:
        """How many slots the pages cover."""
        return sum(page.slots for page in self.pages)


@exchange_task("symbols quoted in {quote}")
async def symbols_quoted_in(session: Session, quote: str) -> list[str]:
    """All symbols of the exchange that are quoted in the asset; ALL for every one, whatever it is quoted in."""
    listed = by_symbol(await session.gateway.exchange_info())
    wanted = quote.strip().upper()
    found = [name for name, (entry, *_) in listed.items() if wanted in ("ALL", entry.get("quoteAsset"))]
    if not found:
        raise EightbellsError(f"the exchange lists no symbol that is quoted in {wanted}")
    return found


@exchange_task("find what is missing")
async def plan_history(
    session: Session,
    symbols: tuple[str, ...],
    start_ms: int,
    end_ms: int,
    timeframe: Timeframe = CYCLE,
    since: datetime | None = None,
) -> Plan:
    """Plan to load what is not stored from start to end; what a killed run has fetched is taken over.

    Args:
        since: newest candles that were stored after this moment of the database are not looked at again.
    """
    plan = Plan(timeframe, start_ms, end_ms)
    left = session.spool.adopt(symbols, timeframe)
    room = asyncio.Semaphore(session.gateway.concurrency)
    failures: dict[str, ExchangeError] = {}

    async def plan_one(symbol: str) -> None:
        async with room:
            try:
                listed = await first_candle(session.gateway, session.engine, symbol, timeframe)
            except ExchangeError as error:
                failures[symbol] = error
                return
            progressed()
        if listed is not None and listed <= end_ms:
            _plan_symbol(session, plan, symbol, max(start_ms, listed), since)

    await asyncio.gather(*map(plan_one, symbols))
    plan.failed.update(for_good(failures))
    planned = {*plan.pages}
    plan.pages.extend(page for page in left if not page.again and page not in planned)
    # looks at the newest candles come last: a run that is killed before has not asked for them
    plan.pages.sort(key=lambda page: page.slots <= session.settings.candles.refetch)
    return plan


def _plan_symbol(session: Session, plan: Plan, symbol: str, first_ms: int, since: datetime | None) -> None:
    timeframe, last = plan.timeframe, plan.last_ms
    with session.engine.connect() as connection:
        is_fresh = since is not None and _stored_since(connection, symbol, last, timeframe, since)
        slots = gaps.missing(connection, [symbol], first_ms, last, timeframe, unasked=True)[symbol]
        plan.unsettled.update(gaps.open_slots(connection, [symbol], first_ms, last, timeframe, bad=True))
    if last >= timeframe.last_closed(session.now_ms) and not is_fresh:
        newest = last - np.arange(session.settings.candles.refetch) * timeframe.step_ms
        newest = np.setdiff1d(newest[newest >= first_ms], plan.unsettled[symbol])
        slots = np.union1d(slots, newest)
    plan.pages.extend(plan_pages({symbol: slots}, timeframe))


def _stored_since(
    connection: Connection, symbol: str, open_ms: int, timeframe: Timeframe, since: datetime
) -> bool:
    """Whether a candle was stored after a moment."""
    found = connection.execute(
        text(
            "SELECT b.recorded_at >= :since FROM candles AS c JOIN batches AS b ON b.id = c.batch_id "
            'WHERE c.symbol = :symbol AND c."interval" = :interval AND c.open_time = :opened'
        ),
        {"symbol": symbol, "interval": timeframe.name, "opened": grid.to_time(open_ms), "since": since},
    )
    return bool(found.scalar())


@exchange_task("load {slots} candles")
async def load_history(session: Session, plan: Plan, slots: int) -> Ingested:
    """Fetch, prove and store the pages in batches, each committed: a crash loses nothing that was stored.

    A symbol that fails for good stops only itself.
    """
    async with shown_progress("backfill-progress", slots) as show:

        def progress(done: int, total: int) -> None:
            show(done, total)
            if session.progress:
                session.progress(done, total)

        return await load(session, plan.pages, progress)


@exchange_task("ask again for what is missing")
async def ask_again(session: Session, plan: Plan) -> Ingested:
    """Ask a second time for every slot that was not delivered; what is still not there is absent.

    A slot of which the load has just brought a bad row waits for the next backfill.
    """
    symbols = [*plan.unsettled]
    with session.engine.connect() as connection:
        slots = gaps.open_slots(connection, symbols, plan.first_ms, plan.last_ms, plan.timeframe)
    wanted = {symbol: np.union1d(slots[symbol], plan.unsettled[symbol]) for symbol in symbols}
    return await load(session, plan_pages(wanted, plan.timeframe, again=True))

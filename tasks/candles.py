"""Steps about candles: wait for the close, fetch, prove, store, and settle what is missing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime

import numpy as np

from eightbells.candles import gaps, grid
from eightbells.candles.klines import Klines
from eightbells.errors import EightbellsError
from eightbells.exchange.history import Page, fetch_pages, plan_pages
from eightbells.exchange.recovery import ExchangeError
from eightbells.exchange.universe import Universe, by_symbol, first_candle, refresh_universe
from eightbells.settings.symbols import chosen as normal_names
from eightbells.strategies.process import PROCESS
from eightbells.trading import valuation
from orchestration.exchange_task import exchange_task, limited_task
from orchestration.limits import progressed
from tasks.loading import Ingested, admit_batch, for_good, load, require_any
from tasks.progress import shown_progress
from tasks.session import Session

EARLY_MS = 60_000  # a run may start this long before the boundary it is for: clocks differ


@limited_task("wait for the close")
async def await_close(session: Session, candle: datetime | None) -> int:
    """Wait until the candle is over by the exchange's clock and has settled; returns its open time (ms)."""
    PROCESS.start(session.settings.limits)  # meanwhile: it takes a second
    if candle is not None:
        opened = grid.to_ms(candle)
        if opened % grid.STEP_MS:
            raise EightbellsError(
                f"{candle} is not on the four-hour grid: candles open at 00:00, 04:00 ... UTC"
            )
        if opened > grid.last_closed(session.now_ms + EARLY_MS):
            raise EightbellsError(f"the candle of {grid.label(opened)} is not over yet")
    else:
        opened = grid.last_closed(session.now_ms + EARLY_MS)
    ready = grid.closes_at(opened) + session.settings.candles.settle_seconds * 1000
    await asyncio.sleep(session.gateway.clock.seconds_until(ready))
    return opened


@exchange_task("rules of the symbols")
async def refresh_rules(
    session: Session, symbols: Sequence[str], chosen: bool = False, quote: str | None = None
) -> Universe:
    """Fetch the symbols' rules and leave out those that the exchange does not list, whose entry is odd, or that are
    quoted in another asset.

    Symbols that a person chose for this run must all be there: a slip of the pen ends it.
    """
    universe = await refresh_universe(session.gateway, session.engine, normal_names(symbols), quote)
    if universe.refused and (chosen or not universe.symbols):
        raise EightbellsError(f"{universe.refusal}; nothing was done")
    return universe


async def refresh_holdings(session: Session, universe: Universe) -> Universe:
    """Fetch the rules of what is held outside of the universe: its strategy, or the symbol, has left the settings.

    Candles of such symbols are kept too: positions are valued by them. No strategy is asked about them.
    """
    with session.engine.connect() as connection:
        held = valuation.symbols_held(connection, session.settings.account)
    others = [symbol for symbol in held if symbol not in {*universe.symbols, *universe.refused}]
    return await _refresh_rules_held(session, others) if others else Universe(())


@exchange_task("rules of what is held")
async def _refresh_rules_held(session: Session, symbols: Sequence[str]) -> Universe:
    return await refresh_universe(session.gateway, session.engine, symbols)


@exchange_task("candles to {label}")
async def fetch_newest(
    session: Session, symbols: tuple[str, ...], opened: int, window: int, label: str
) -> Ingested:
    """Fetch what the strategies' windows lack and the newest candles again, all symbols at once; prove and store."""
    pages = [
        page
        for symbol in symbols
        for page in _pages(
            session, symbol, _since(session, symbol, opened, window), opened, refetch=True, settle=True
        )
    ]
    ingested = await _ingest(session, pages)
    for symbol in set(symbols) - set(ingested.failed):
        ingested.absent += await _record_asked(session, symbol, pages)
    return ingested


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
    session: Session, symbols: tuple[str, ...], start_ms: int, end_ms: int
) -> tuple[list[Page], dict[str, str]]:
    """The pages that cover what is not stored from start to end; stored candles are not asked for again.

    Returns them, and why symbols failed that the exchange refused to speak of.
    """
    room = asyncio.Semaphore(session.gateway.concurrency)
    failures: dict[str, ExchangeError] = {}

    async def plan_one(symbol: str) -> list[Page]:
        async with room:
            try:
                listed = await first_candle(session.gateway, session.engine, symbol)
            except ExchangeError as error:
                failures[symbol] = error
                return []
            progressed()
        if listed is None or listed > end_ms:
            return []
        refetch = end_ms >= grid.last_closed(session.now_ms)
        return _pages(session, symbol, max(start_ms, listed), end_ms, refetch=refetch)

    pages = [page for pages in await asyncio.gather(*map(plan_one, symbols)) for page in pages]
    failed = for_good(failures)
    if failed and len(failed) == len(symbols):
        raise EightbellsError("no symbol's history could be found: " + next(iter(failed.values())))
    return pages, failed


@exchange_task("load {slots} candles")
async def load_history(session: Session, pages: list[Page], slots: int) -> Ingested:
    """Fetch, prove and store the pages in batches, each committed: a crash loses nothing that was stored.

    A symbol that fails for good stops only itself.
    """
    async with shown_progress("backfill-progress", f"{slots:,} candles to load") as show:

        def progress(done: int, total: int) -> None:
            show(done, total)
            if session.progress:
                session.progress(done, total)

        ingested = await load(session, pages, progress)
    asked = [page for page in pages if page.symbol not in ingested.failed]
    for symbol in dict.fromkeys(page.symbol for page in asked):
        ingested.absent += await _record_asked(session, symbol, asked)
    return ingested


@exchange_task("ask again for what is missing")
async def ask_again(session: Session, pages: list[Page]) -> Ingested:
    """Ask a second time for every slot that was not delivered; what is still not there is absent."""
    again = []
    with session.engine.connect() as connection:
        for symbol, (first, last) in _spans(pages).items():
            again += plan_pages(symbol, gaps.open_slots(connection, symbol, first, last))
    ingested = await load(session, again)
    asked = [page for page in again if page.symbol not in ingested.failed]
    for symbol in dict.fromkeys(page.symbol for page in asked):
        ingested.absent += await _record_asked(session, symbol, asked)
    return ingested


def _since(session: Session, symbol: str, opened: int, window: int) -> int:
    """From where a cycle wants candles: the longest window, or the last stored candle where that is older."""
    wanted = opened - (window - 1) * grid.STEP_MS
    with session.engine.connect() as connection:
        _, last = gaps.stored_span(connection, symbol, opened)
    return wanted if last is None else min(wanted, last + grid.STEP_MS)


def _pages(
    session: Session, symbol: str, first: int, last: int, *, refetch: bool, settle: bool = False
) -> list[Page]:
    """The pages that cover what is missing, with `settle` also what is older and has been asked for once."""
    with session.engine.connect() as connection:
        slots = gaps.missing(connection, symbol, first, last)
        if settle:
            slots = np.union1d(slots, gaps.open_slots(connection, symbol, 0, last))
    if refetch:
        newest = last - np.arange(session.settings.candles.refetch) * grid.STEP_MS
        slots = np.union1d(slots, newest[newest >= first])
    return plan_pages(symbol, slots)


async def _ingest(session: Session, pages: list[Page]) -> Ingested:
    """Fetch pages and admit them as one batch or few. A symbol that fails for good stops only itself."""
    ingested, waiting, rows, failures = Ingested(), list[Klines](), 0, dict[str, ExchangeError]()
    for page in [page for page in pages if page in session.fetched]:
        waiting.append(session.fetched[page])
    async for page, outcome in fetch_pages(
        session.gateway, [it for it in pages if it not in session.fetched]
    ):
        if isinstance(outcome, ExchangeError):
            failures[page.symbol] = outcome
            continue
        session.fetched[page] = outcome  # a retry of the task need not ask for it again
        waiting.append(outcome)
        progressed()
    ingested.failed = for_good(failures)
    most = session.settings.candles.rows_per_batch
    while waiting:
        batch, rows = list[Klines](), 0
        while waiting and rows < most:
            batch.append(waiting.pop())
            rows += len(batch[-1])
        ingested.add(await admit_batch(session, batch))
    session.fetched.clear()
    require_any(pages, ingested)
    return ingested


async def _record_asked(session: Session, symbol: str, pages: Iterable[Page]) -> int:
    """Note what was asked for in vain. What lies before the symbol's first candle is not missing."""
    pages = [page for page in pages if page.symbol == symbol]
    start, end = _spans(pages)[symbol]
    with session.engine.connect() as connection:
        slots = gaps.missing(connection, symbol, start, end)
        first, _ = gaps.stored_span(connection, symbol, end)
    starts = np.array(sorted(page.first_ms for page in pages))
    ends = np.array(sorted(page.last_ms for page in pages))
    page_of = np.searchsorted(starts, slots, side="right") - 1
    slots = slots[slots <= ends[page_of]]  # what lies between two pages was not asked for
    if slots.size and (first is None or slots[0] < first):
        with suppress(ExchangeError):  # the next run asks, and takes note, again
            first = await first_candle(session.gateway, session.engine, symbol)
        progressed()
        slots = slots[slots >= (end + 1 if first is None else first)]
    with session.engine.begin() as connection:
        return gaps.record_asked(connection, symbol, slots.tolist(), session.now_ms)


def _spans(pages: Iterable[Page]) -> dict[str, tuple[int, int]]:
    """From the first to the last slot (ms) that is asked for of each symbol."""
    spans: dict[str, tuple[int, int]] = {}
    for page in pages:
        first, last = spans.get(page.symbol, (page.first_ms, page.last_ms))
        spans[page.symbol] = min(first, page.first_ms), max(last, page.last_ms)
    return spans

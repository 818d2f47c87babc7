"""Steps about the cycle's candles: wait for the close, fetch, prove, store, and note what is missing."""

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
from eightbells.exchange.universe import Universe, first_candle, refresh_universe
from eightbells.settings.symbols import chosen as normal_names
from eightbells.strategies.process import PROCESS
from eightbells.trading import valuation
from orchestration.exchange_task import exchange_task, limited_task
from orchestration.limits import progressed
from tasks.loading import Ingested, admit_batch, for_good, require_any
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
    pages = await asyncio.to_thread(_newest_pages, session, symbols, opened, window)
    ingested = await _ingest(session, pages)
    for symbol in set(symbols) - set(ingested.failed):
        ingested.absent += await _record_asked(session, symbol, pages)
    return ingested


def _newest_pages(session: Session, symbols: tuple[str, ...], opened: int, window: int) -> list[Page]:
    """The pages that cover the window's missing slots, the newest candles, and all that was asked for in vain."""
    with session.engine.connect() as connection:
        slots = gaps.missing(
            connection, symbols, opened - (window - 1) * grid.STEP_MS, opened, continued=True
        )
        unsettled = gaps.open_slots(connection, symbols, 0, opened)
    newest = opened - np.arange(session.settings.candles.refetch) * grid.STEP_MS
    return plan_pages(
        {symbol: np.union1d(np.union1d(slots[symbol], unsettled[symbol]), newest) for symbol in symbols}
    )


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
        admission, unusable = await admit_batch(session, batch)
        ingested.add(admission)
        ingested.failed |= unusable
    session.fetched.clear()
    require_any(pages, ingested)
    return ingested


async def _record_asked(session: Session, symbol: str, pages: Iterable[Page]) -> int:
    """Note what was asked for in vain. What lies before the symbol's first candle is not missing."""
    pages = [page for page in pages if page.symbol == symbol]
    start, end = _spans(pages)[symbol]
    with session.engine.connect() as connection:
        slots = gaps.missing(connection, [symbol], start, end)[symbol]
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

"""Steps about the universe by rule: what the choice needs is fetched, and the members are brought up to date."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sqlalchemy import text

from eightbells.candles import grid
from eightbells.exchange.recovery import ExchangeError
from eightbells.exchange.universe import first_candle
from eightbells.trading import delistings
from eightbells.universe import members
from orchestration.exchange_task import exchange_task, limited_task
from orchestration.limits import progressed
from tasks.candles import fetch_newest, refresh_rules
from tasks.history import symbols_quoted_in
from tasks.loading import Ingested, for_good
from tasks.session import Session

_CANDLES_PER_DAY = 24 * 3_600_000 // grid.STEP_MS


async def choose_universe(session: Session, opened: int, label: str) -> list[str]:
    """Make the choice that is due at a candle's close, and take over the members of that close.

    Returns:
        The symbols to run for. Without a rule it is the list of the settings, and nothing is done.
    """
    settings = session.settings
    if not settings.universe.top:
        return settings.symbols
    chosen_at = is_choice_due(session, opened)
    if chosen_at is not None:
        names = await symbols_quoted_in(session, settings.quote_asset)
        listed = await refresh_rules(session, names, quote=settings.quote_asset)
        traded = await asyncio.to_thread(_traded, session, listed.symbols)
        # one request per symbol, since the span has fewer candles than a page
        window = settings.universe.days * _CANDLES_PER_DAY
        await fetch_newest(session, traded, chosen_at - grid.STEP_MS, window, label)
        await ask_first_candles(session, traded, len(traded))
    await record_choice(session, opened, label)
    return session.settings.symbols


def is_choice_due(session: Session, opened: int) -> int | None:
    """The time (ms) of the choice that is to be made at a candle's close; None where there is none to make."""
    if not session.settings.universe.top:
        return None
    with session.engine.connect() as connection:
        return members.is_due(connection, session.settings, grid.closes_at(opened))


def _traded(session: Session, symbols: Sequence[str]) -> tuple[str, ...]:
    """Those of the symbols that trade now: the others have no new candles."""
    with session.engine.connect() as connection:
        found = connection.execute(
            text(
                "SELECT symbol FROM symbols WHERE symbol = ANY(:symbols) AND status = 'TRADING' ORDER BY symbol"
            ),
            {"symbols": list(symbols)},
        )
        return tuple(found.scalars())


@exchange_task("first candles of {many} symbols")
async def ask_first_candles(session: Session, symbols: Sequence[str], many: int) -> None:
    """Ask for the first candle of each symbol, once ever: the answer is kept. It is the symbol's age.

    Where the exchange refuses to answer, the first stored candle counts.
    """
    room = asyncio.Semaphore(session.gateway.concurrency)
    failures: dict[str, ExchangeError] = {}

    async def ask(symbol: str) -> None:
        async with room:
            try:
                await first_candle(session.gateway, session.engine, symbol)
            except ExchangeError as error:
                failures[symbol] = error
            progressed()

    await asyncio.gather(*map(ask, symbols))
    for_good(failures)


@limited_task("choose the universe of {label}")
async def record_choice(session: Session, opened: int, label: str) -> None:
    """Choose from what is stored, and let the session go by the members of the candle's close."""
    await asyncio.to_thread(_record_choice, session, grid.closes_at(opened))


def _record_choice(session: Session, at_ms: int) -> None:
    with session.engine.begin() as connection:
        members.choose_due(connection, session.settings, at_ms)
    with session.engine.connect() as connection:
        session.settings = members.resolved(connection, session.settings, at_ms)


async def without_leavers(
    session: Session, symbols: tuple[str, ...], opened: int, ingested: Ingested, label: str
) -> tuple[str, ...]:
    """The symbols that strategies are asked about, once the newest candles are in: not the members that leave now."""
    if not session.settings.universe.top:
        return symbols
    left = await end_memberships(session, opened, tuple(ingested.failed), label)
    kept = {symbol for entry in session.settings.strategies for symbol in entry.symbols}
    return tuple(symbol for symbol in symbols if symbol not in left or symbol in kept)


@exchange_task("look for members that leave at {label}")
async def end_memberships(
    session: Session, opened: int, unknown: tuple[str, ...], label: str
) -> dict[str, str]:
    """Let members leave that are delisted or have no candles any more.

    Args:
        unknown: symbols whose candles could not be fetched: they stay.
    """
    await delistings.refresh(session.settings, session.engine, session.gateway)
    return await asyncio.to_thread(_end_memberships, session, grid.closes_at(opened), unknown)


def _end_memberships(session: Session, at_ms: int, unknown: tuple[str, ...]) -> dict[str, str]:
    with session.engine.begin() as connection:
        left = members.end_at_close(connection, session.settings, at_ms, unknown)
        session.settings = members.resolved(connection, session.settings, at_ms)
    return left

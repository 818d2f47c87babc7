"""REST beside the streams: what no frame has brought, asked for after each connection and each close."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress

import psycopg
from sqlalchemy.exc import InterfaceError, OperationalError

from eightbells.candles import gaps, grid
from eightbells.candles.klines import Klines
from eightbells.errors import EightbellsError
from eightbells.exchange.history import Page, fetch_all, plan_pages
from eightbells.exchange.recovery import ExchangeError
from eightbells.runtime import Runtime

_MOST_AT_ONCE = 500  # symbols judged together: the first of many need not wait for the last
_LONGEST_LOOK = 180  # candles: a hole that the exchange cannot fill is not looked at for longer than 30 days
_LONGEST_PAUSE_SECONDS = 300.0  # between two questions for what the exchange does not have

# Postgres is gone, starts, or ended our connection: it comes back. Permits are taken from it without SQLAlchemy.
DATABASE_AWAY = (OperationalError, InterfaceError, psycopg.OperationalError)

Admit = Callable[[list[Klines]], Awaitable[None]]


class RestCatchUp:
    """Asks for what is missing, again and again until it is there.

    Args:
        window: how many of the newest candles are to be there; None: `candles.refetch`.
        admit: judges and stores klines.
        stored_all: waits until nothing that the streams brought is still to be stored.
        warn: told what went wrong.
    """

    def __init__(
        self,
        runtime: Runtime,
        symbols: tuple[str, ...],
        window: int | None,
        admit: Admit,
        stored_all: Callable[[], Awaitable[object]],
        warn: Callable[[str], None],
    ) -> None:
        self.wanted = asyncio.Event()
        self._runtime, self._symbols, self._admit, self._warn = runtime, symbols, admit, warn
        self._stored_all = stored_all
        self._window = window or runtime.settings.candles.refetch
        self._whole_to: int | None = None  # nothing was missing up to here

    async def run(self) -> None:
        """Go on until cancelled; whoever sets `wanted` need not wait for the next close."""
        usual = self._runtime.settings.stream.catch_up_seconds
        pause, asked = usual, 0
        while True:
            self.wanted.clear()
            last = grid.last_closed(self._runtime.now_ms)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS) if last == asked else usual
            try:
                due, asked = (None if await self._is_complete(last) else pause), last
            except (ExchangeError, EightbellsError, *DATABASE_AWAY) as error:
                self._warn(f"could not catch up: {error}")
                due = usual
            until_next = self._runtime.gateway.clock.seconds_until(last + 2 * grid.STEP_MS) + usual
            with suppress(TimeoutError):
                wait = until_next if due is None else min(due, until_next)
                async with asyncio.timeout(wait):
                    await self.wanted.wait()

    async def _is_complete(self, last: int) -> bool:
        """Whether nothing was missing; what was is fetched and stored, and looked at again later."""
        runtime = self._runtime
        await self._stored_all()  # else REST would be asked for what is on its way, when there is most to do
        pages = await asyncio.to_thread(self._missing, last)
        if not pages:
            self._whole_to = last
            return True
        waiting: list[Klines] = []
        rows = runtime.settings.candles.rows_per_batch
        failed: ExchangeError | None = None
        try:
            async with aclosing(fetch_all(runtime.gateway, pages)) as answers:
                async for klines in answers:
                    waiting.append(klines)
                    if len(waiting) == _MOST_AT_ONCE or sum(map(len, waiting)) >= rows:
                        await self._admit(waiting)
                        waiting = []
        except ExchangeError as error:
            failed = error
        if waiting:  # what came before it failed is not asked for again
            await self._admit(waiting)
        if failed is not None:
            raise failed
        return False

    def _missing(self, last: int) -> list[Page]:
        with self._runtime.engine.connect() as connection:
            slots = gaps.missing(
                connection, self._symbols, self._wanted_from(last), last, continued=True, grown=True
            )
        return plan_pages(slots)

    def _wanted_from(self, last: int) -> int:
        """The strategies' window, and all since nothing was missing: REST may have been away for longer."""
        wanted = last - (self._window - 1) * grid.STEP_MS
        if self._whole_to is None:
            return wanted
        return min(wanted, max(self._whole_to + grid.STEP_MS, last - _LONGEST_LOOK * grid.STEP_MS))

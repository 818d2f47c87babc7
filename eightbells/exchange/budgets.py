"""Request budgets, shared by every process through Postgres and never exceeded."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, text

from eightbells import metrics
from eightbells.database.address import parameters
from eightbells.settings import BudgetSettings

# A request reaches the exchange a little after its permit: windows are longer by this much.
MARGIN_SECONDS = 0.5
WEIGHT = "weight"
# Looks at past orders, which can wait: a reconciliation after many orders could use up a minute's weight.
LOOKS = "looks"
# What some may use of the exchange's weight, so that orders are never starved.
_SHARES = {"klines": 0.9, LOOKS: 0.5}
_OF_ADDRESS = {WEIGHT, "klines"}  # what Binance counts by address; the others it counts by account
_MOST_AT_ONCE = 100
# A longer wait is announced: what is waited for, and until when.
ANNOUNCED_SECONDS = 3.0

Queue = deque[tuple[int, "asyncio.Future[None]"]]


def moment_after(seconds: float) -> str:
    """The end of a wait by this machine's clock, with its day where that is another one."""
    now = datetime.now(UTC)
    end = now + timedelta(seconds=seconds)
    return f"{end:%H:%M:%S} UTC" if end.date() == now.date() else f"{end:%Y-%m-%d %H:%M:%S} UTC"


def row_of(budget: str, settings: BudgetSettings) -> str:
    """The row of a budget in Postgres: machines with another public address have another one."""
    return f"{budget}@{settings.address}" if settings.address and budget in _OF_ADDRESS else budget


def closure(connection: Connection, settings: BudgetSettings) -> tuple[str, datetime] | None:
    """Why, and until when, nobody at this machine's address may ask the exchange; None while they may."""
    row = connection.execute(
        text(
            "SELECT reason, closed_until FROM budgets WHERE name = :name AND closed_until > clock_timestamp()"
        ),
        {"name": row_of(WEIGHT, settings)},
    ).one_or_none()
    return None if row is None else (row.reason, row.closed_until)


@dataclass(frozen=True)
class Limit:
    """At most `allowed` in any `seconds`."""

    allowed: int
    seconds: float


@dataclass
class Budgets:
    """Permits from Postgres, over one connection, one short transaction for all who wait.

    Limits that the user set hold from the start; those of the exchange once `learn` has read them.
    """

    engine: Engine
    settings: BudgetSettings
    weight: Limit = Limit(6000, 60)
    now_ms: Callable[[], int] | None = None
    announce: Callable[[str], None] = logging.getLogger(__name__).warning
    _seen: tuple[int, int] | None = None
    _connection: psycopg.AsyncConnection[tuple[object, ...]] | None = None
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _waiting: dict[tuple[str, Limit], Queue] = field(default_factory=dict)
    _dispensers: set[asyncio.Task[None]] = field(default_factory=set)

    def learn(self, rate_limits: object) -> None:
        """Take the weight limit from exchangeInfo's rateLimits; what cannot be read changes nothing."""
        for limit in rate_limits if isinstance(rate_limits, list) else ():
            with suppress(AttributeError, KeyError, ValueError):
                if limit.get("rateLimitType") == "REQUEST_WEIGHT" and limit.get("interval") == "MINUTE":
                    allowed, minutes = int(str(limit["limit"])), int(str(limit.get("intervalNum", 1)))
                    if allowed > 0 and minutes > 0:
                        self.weight = Limit(allowed, 60.0 * minutes)

    def observe(self, used: int, now_ms: int) -> None:
        """Note the used weight that an answer's header states for the exchange's present minute."""
        self._seen = used, now_ms

    def _seen_now(self) -> int | None:
        """What the exchange said, while it still speaks of the present minute."""
        if self._seen is None or self.now_ms is None:
            return None
        used, at = self._seen
        now = self.now_ms()
        inside = 2_000 < now % 60_000 < 58_000  # the minutes of our clocks need not turn at the same time
        return used if inside and now - at < 2_000 and now // 60_000 == at // 60_000 else None

    async def take(self, budget: str | None, weight: int) -> None:
        """Wait until the request may be sent: first its own budget, then its weight."""
        own = self._own(budget)
        if own is not None:
            await self._wait_for(str(budget), 1, own)
        most = int(self.weight.allowed * _SHARES.get(budget or "", 1.0))
        await self._wait_for(WEIGHT, weight, Limit(most, self.weight.seconds))

    async def close_until(self, seconds: float, reason: str) -> None:
        """Nobody at this address asks anything for so long: a 429 or 418 was met."""
        await self._execute(
            "INSERT INTO budgets VALUES (%s, clock_timestamp() + %s * interval '1 second', %s) "
            "ON CONFLICT (name) DO UPDATE SET reason = excluded.reason, "
            "closed_until = greatest(budgets.closed_until, excluded.closed_until)",
            (row_of(WEIGHT, self.settings), seconds, reason),
        )

    async def close(self) -> None:
        for task in self._dispensers:
            task.cancel()
        await asyncio.gather(*self._dispensers, return_exceptions=True)
        if self._connection is not None:
            await self._connection.close()

    def _own(self, budget: str | None) -> Limit | None:
        allowed = getattr(self.settings, budget or "", "exchange")
        if not isinstance(allowed, int):
            return None
        return Limit(allowed, 60.0 if budget == "klines" else 1.0)

    async def _wait_for(self, budget: str, cost: int, limit: Limit) -> None:
        started = time.monotonic()
        permit = asyncio.get_running_loop().create_future()
        queue = self._waiting.setdefault((budget, limit), deque())
        queue.append((cost, permit))
        if len(queue) == 1:
            self._dispensers.add(task := asyncio.create_task(self._dispense(budget, limit, queue)))
            task.add_done_callback(self._dispensers.discard)
        await permit
        if (waited := time.monotonic() - started) > 0.05:
            metrics.BUDGET_WAIT.labels(budget).inc(waited)

    async def _dispense(self, budget: str, limit: Limit, queue: Queue) -> None:
        """Ask for all who wait at once: under load a permit costs a fraction of a round trip."""
        announced = 0.0
        try:
            while queue:
                granted, wait = await self._ask(budget, [cost for cost, _ in queue], limit)
                for _ in range(granted):
                    _, permit = queue.popleft()
                    if not permit.done():
                        permit.set_result(None)
                if wait > ANNOUNCED_SECONDS and time.monotonic() + wait > announced + 1:
                    announced = time.monotonic() + wait
                    self.announce(await self._in_words(budget, limit, wait))
                if wait:
                    await asyncio.sleep(wait * random.uniform(1.0, 1.05))
        except Exception as error:  # the database is away: who waits is told
            while queue:
                _, permit = queue.popleft()
                if not permit.done():
                    permit.set_exception(error)

    async def _in_words(self, budget: str, limit: Limit, wait: float) -> str:
        """What a wait is for, and until when by this machine's clock."""
        row = await self._execute(
            "SELECT reason FROM budgets WHERE name = %s AND closed_until > clock_timestamp()",
            (row_of(budget, self.settings),),
        )
        window = {60.0: "per minute", 1.0: "per second"}.get(limit.seconds, f"in {limit.seconds:g} s")
        named = "the exchange's request weight" if budget == WEIGHT else f"budgets.{budget}"
        reason = str(row[0]) if row else f"{named} of {limit.allowed} {window} is used up"
        return f"waiting until {moment_after(wait)}: {reason}"

    async def _ask(self, budget: str, costs: list[int], limit: Limit) -> tuple[int, float]:
        margin = MARGIN_SECONDS if limit.seconds > 10 else MARGIN_SECONDS / 5
        seen = self._seen_now() if budget == WEIGHT else None
        row = await self._execute(
            "SELECT * FROM take_permits(%s, %s, %s, %s, %s)",
            (
                row_of(budget, self.settings),
                costs[:_MOST_AT_ONCE],
                limit.allowed,
                limit.seconds + margin,
                seen,
            ),
        )
        assert row is not None
        return int(str(row[0])), float(str(row[1]))

    async def _execute(self, statement: str, values: tuple[object, ...]) -> tuple[object, ...] | None:
        """Run a statement, once more over a new connection where Postgres has ended the old one.

        A permit may then have been counted twice: that is the safe side.
        """
        async with self._lock:
            if self._connection is not None:
                with suppress(psycopg.OperationalError):
                    return await self._run(self._connection, statement, values)
                await self._connection.close()
            given: dict[str, Any] = parameters(self.engine.url)
            self._connection = await psycopg.AsyncConnection.connect(**given, autocommit=True)
            return await self._run(self._connection, statement, values)

    async def _run(
        self,
        connection: psycopg.AsyncConnection[tuple[object, ...]],
        statement: str,
        values: tuple[object, ...],
    ) -> tuple[object, ...] | None:
        cursor = await connection.execute(statement, values)
        return await cursor.fetchone() if cursor.description else None

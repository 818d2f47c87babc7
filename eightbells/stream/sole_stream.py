"""One stream per account: an advisory lock of Postgres, on its own connection."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from types import TracebackType

from sqlalchemy import Connection, Engine, text

from eightbells.database import locks
from eightbells.errors import EightbellsError
from eightbells.stream.rest_catch_up import DATABASE_AWAY

_LOOK_EVERY_SECONDS = 2.0
_PATIENCE_SECONDS = (
    20.0  # an embedded Postgres that was killed is started by who opens it again: our next process
)


class AnotherStream(EightbellsError):
    """The account has a stream already."""


class SoleStream:
    """The right to be the account's only stream. It goes with the process, however that ends."""

    def __init__(self, engine: Engine, account: str) -> None:
        # no transaction: one that idles for weeks would be in everybody's way
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._account = account
        self._connection: Connection | None = None

    def __enter__(self) -> SoleStream:
        self._claim()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._drop()

    async def keep(self) -> None:
        """Watch the lock until cancelled. It goes when Postgres does, and is taken again when that is back.

        Raises:
            AnotherStream: somebody else has taken it meanwhile.
            EightbellsError: Postgres does not come back.
        """
        seen = time.monotonic()
        while True:
            await asyncio.sleep(_LOOK_EVERY_SECONDS)
            try:
                await asyncio.to_thread(self._look)
                seen = time.monotonic()
            except DATABASE_AWAY:
                if time.monotonic() - seen > _PATIENCE_SECONDS:
                    raise EightbellsError("Postgres did not answer for too long: the stream ends") from None

    def _look(self) -> None:
        try:
            if self._connection is not None:
                self._connection.execute(text("SELECT"))
                return
        except DATABASE_AWAY:
            self._drop()
        self._claim()

    def _claim(self) -> None:
        connection = self._engine.connect()
        connection.detach()  # not from the pool: the lock must not outlive its owner in it
        mine: bool = connection.execute(
            text("SELECT pg_try_advisory_lock(:key, hashtext(:account))"),
            {"key": locks.STREAM, "account": self._account},
        ).scalar_one()
        if not mine:
            connection.close()
            raise AnotherStream("another stream runs for this account")
        self._connection = connection

    def _drop(self) -> None:
        if self._connection is not None:
            with suppress(*DATABASE_AWAY):
                self._connection.close()
            self._connection = None

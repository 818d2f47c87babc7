"""One writer an account: a lease that runs out by itself, with a fence that only ever rises."""

from __future__ import annotations

import asyncio
import os
import socket
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, text

from eightbells.errors import EightbellsError

_TAKE = """
INSERT INTO leases (account, fence, holder, expires_at)
VALUES (:account, 1, :holder, clock_timestamp() + :seconds * interval '1 second')
ON CONFLICT (account) DO UPDATE
SET fence = leases.fence + 1, holder = excluded.holder, expires_at = excluded.expires_at
WHERE leases.expires_at < clock_timestamp()
RETURNING fence
"""
_RENEW = """
UPDATE leases SET expires_at = clock_timestamp() + :seconds * interval '1 second'
WHERE account = :account AND fence = :fence AND expires_at > clock_timestamp()
"""
_HELD = """
SELECT expires_at > clock_timestamp() FROM leases WHERE account = :account AND fence = :fence FOR SHARE
"""


class LeaseLost(EightbellsError):
    """Another worker trades this account now; nothing was sent."""


@dataclass(frozen=True)
class Lease:
    """The right to send orders for an account, for as long as its fence is the newest and it is renewed."""

    account: str
    fence: int

    def require(self, connection: Connection) -> None:
        """Raise LeaseLost unless the lease is held; until the transaction ends nobody else can take it."""
        held = connection.execute(
            text(_HELD), {"account": self.account, "fence": self.fence}
        ).scalar_one_or_none()
        if not held:
            raise LeaseLost(
                f"the lease on account {self.account} was lost to another worker: nothing was sent"
            )


@asynccontextmanager
async def hold_lease(engine: Engine, account: str, seconds: float, patience: float) -> AsyncIterator[Lease]:
    """Wait for the account's lease, renew it while the context lasts, and give it back.

    Args:
        seconds: how long the lease lasts without being renewed.
        patience: how long to wait for another worker's.

    Raises:
        LeaseLost: another worker kept it all the while.
    """
    holder = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
    lease = await _take(engine, account, holder, seconds, patience)
    keeper = asyncio.create_task(_renew(engine, lease, seconds))
    try:
        yield lease
    finally:
        keeper.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await keeper
        _give_back(engine, lease)


async def _take(engine: Engine, account: str, holder: str, seconds: float, patience: float) -> Lease:
    deadline = asyncio.get_running_loop().time() + patience
    while True:
        with engine.begin() as connection:
            fence = connection.execute(
                text(_TAKE), {"account": account, "holder": holder, "seconds": seconds}
            ).scalar_one_or_none()
        if fence is not None:
            return Lease(account, fence)
        if asyncio.get_running_loop().time() > deadline:
            raise LeaseLost(f"another worker trades account {account}")
        await asyncio.sleep(0.2)


async def _renew(engine: Engine, lease: Lease, seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds / 4)
        with engine.begin() as connection:
            values = {"account": lease.account, "fence": lease.fence, "seconds": seconds}
            if not connection.execute(text(_RENEW), values).rowcount:
                return  # lost: the outbox will refuse to send


def _give_back(engine: Engine, lease: Lease) -> None:
    with suppress(Exception), engine.begin() as connection:  # a database that is away lets it run out
        connection.execute(
            text(
                "UPDATE leases SET expires_at = clock_timestamp() WHERE account = :account AND fence = :fence"
            ),
            {"account": lease.account, "fence": lease.fence},
        )

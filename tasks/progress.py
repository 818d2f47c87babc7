"""Progress of a long step, as an artifact in the UI: updated now and then, without slowing the work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from prefect.artifacts import acreate_progress_artifact, aupdate_progress_artifact

from tasks.session import Progress

_EVERY_SECONDS = 2.0


@asynccontextmanager
async def shown_progress(key: str, description: str) -> AsyncIterator[Progress]:
    """An artifact of this key at 0 percent; yields what moves it."""
    percent = 0.0

    def move(done: int, total: int) -> None:
        nonlocal percent
        percent = round(100 * done / total, 1)

    artifact = await acreate_progress_artifact(percent, key=key, description=description)

    async def show() -> None:
        with suppress(Exception):  # of whatever kind: it is only a picture
            await aupdate_progress_artifact(artifact, percent)

    async def keep_showing() -> None:
        while True:
            await asyncio.sleep(_EVERY_SECONDS)
            await show()

    showing = asyncio.create_task(keep_showing())
    try:
        yield move
        move(1, 1)
    finally:
        showing.cancel()
        with suppress(asyncio.CancelledError):
            await showing
        await show()

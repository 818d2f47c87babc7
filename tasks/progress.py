"""Progress of a load as an artifact in the UI, with its rate and the time left; it never slows the work."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from prefect.artifacts import acreate_progress_artifact, aupdate_progress_artifact

from eightbells.progress import words
from tasks.session import Progress

_EVERY_SECONDS = 2.0


@asynccontextmanager
async def shown_progress(key: str, total: int, whence: str = "") -> AsyncIterator[Progress]:
    """An artifact of this key at 0 percent; yields what moves it.

    Args:
        total: candles to load.
        whence: where they come from, for its description.
    """
    percent, began = 0.0, time.monotonic()
    description = words(0, total, 0) + whence

    def move(done: int, total: int) -> None:
        nonlocal percent, description
        percent = round(100 * done / max(total, 1), 1)
        description = words(done, total, time.monotonic() - began) + whence

    artifact = await acreate_progress_artifact(percent, key=key, description=description)

    async def show() -> None:
        with suppress(Exception):  # of whatever kind: it is only a picture
            await aupdate_progress_artifact(artifact, percent, description)

    async def keep_showing() -> None:
        while True:
            await asyncio.sleep(_EVERY_SECONDS)
            await show()

    showing = asyncio.create_task(keep_showing())
    try:
        yield move
        move(total, total)
    finally:
        showing.cancel()
        with suppress(asyncio.CancelledError):
            await showing
        await show()

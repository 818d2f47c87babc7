"""What the worker plans beside Prefect's schedule: runs that were missed, and another attempt of one that failed."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta

from eightbells.settings import load_settings
from orchestration.failed import start_failed_again
from orchestration.missed import plan_missed

_LOOK_EVERY_SECONDS = 60.0
_log = logging.getLogger(__name__)


async def keep_planning() -> None:
    """Look at once and every minute, until cancelled; a server that is away is asked later."""
    while True:
        try:
            await _plan(datetime.now(UTC))
        except Exception as error:  # nothing that the server answers may end the worker
            _log.warning("could not look for missed and failed runs: %r", error)
        await asyncio.sleep(_LOOK_EVERY_SECONDS)


async def _plan(now: datetime) -> None:
    for name in await plan_missed(now):
        _log.warning("%s: the due run had not been scheduled; it is now", name)
    fresh_for = timedelta(minutes=load_settings().trading.max_candle_age_minutes)
    if words := await start_failed_again(now, fresh_for):
        _log.warning("%s", words)

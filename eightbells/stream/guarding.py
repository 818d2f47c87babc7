"""The stream's watch over positions: after each fill of ours, and every few seconds, every holding is looked at."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from eightbells.runtime import Runtime
from eightbells.trading.lease import LeaseLost, hold_lease

_BURST_SECONDS = 0.25  # fills of one order come together
_PATIENCE_SECONDS = 1.0  # for another worker's lease: who trades guards the positions itself


async def watch_positions(runtime: Runtime, fills: asyncio.Event, warn: Callable[[str], None]) -> None:
    """Guard the positions until cancelled.

    Args:
        fills: set when one of our orders has moved.
        warn: told once of each holding that has neither a stop nor a sale.
    """
    guardian, told = runtime.guardian, list[str]()
    trading = runtime.settings.trading
    while True:
        try:
            bare = list[str]()
            if await guardian.look():
                async with hold_lease(
                    runtime.engine, runtime.settings.account, trading.lease_seconds, _PATIENCE_SECONDS
                ) as lease:
                    bare = await guardian.guard(lease)
            for words in bare:
                if words not in told:
                    warn(words)
            told = bare
        except LeaseLost:
            pass
        except Exception as error:  # whatever it was: candles and fills go on, and the next look comes
            warn(
                f"could not check the positions: {''.join(str(error).splitlines()[:1]) or type(error).__name__}"
            )
        with suppress(TimeoutError):
            async with asyncio.timeout(trading.guard_seconds):
                await fills.wait()
                await asyncio.sleep(_BURST_SECONDS)
        fills.clear()

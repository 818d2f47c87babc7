"""Cycles one after the other on a simulator's clock, under an `up` that runs: an account with a past to look at."""

from __future__ import annotations

import asyncio
import sys

from cli.running import quiet_console, recorded, run_deployed, warm_up
from eightbells.candles import grid
from eightbells.settings import load_settings
from tests.exchange import Simulator


async def _run(simulator: Simulator, count: int, symbols: list[str]) -> None:
    settings = load_settings()
    quiet_console()
    for _ in range(count):
        opened = grid.last_closed(simulator.now)
        parameters = {"candle": grid.to_time(opened), "symbols": symbols}
        await run_deployed("four-hour-cycle", parameters, settings.directory)
        simulator.leap(grid.closes_at(opened) + grid.STEP_MS)


def main(url: str, count: str, *symbols: str) -> None:
    """Run so many cycles; the exchange's clock stands shortly after the close of the next one then."""
    warm_up()
    with recorded():
        asyncio.run(_run(Simulator(url), int(count), list(symbols)))


if __name__ == "__main__":
    main(*sys.argv[1:])

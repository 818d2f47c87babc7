"""The stream in a process of its own, without Prefect: what the soak and the kill tests watch from outside.

`python -m tests.stream.worker` reads the settings as the flow does. It says its facts as a line of JSON at every
heartbeat, and ends on SIGTERM with everything written.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from functools import partial

from eightbells.exchange.streams import Pace
from eightbells.stream.engine import Stream, usual_pace
from eightbells.stream.fills import book_fills
from eightbells.stream.guarding import watch_positions
from eightbells.stream.sole_stream import SoleStream
from eightbells.trading.execution import to_settle
from tasks.session import Session, unset_session
from tasks.stopping import on_signals


class Lines:
    """A reporter that writes lines."""

    def warn(self, words: str) -> None:
        print(words, file=sys.stderr, flush=True)

    async def show(self, facts: Mapping[str, str]) -> None:
        print(json.dumps(facts), flush=True)


async def _settle(session: Session) -> list[str]:
    """Ask for our open orders, as the flow does once it listens: what happened before is told by nobody else."""
    for order in to_settle(session.engine, session.settings.account):
        await session.executor.refresh(order)
    return []


async def main() -> None:
    lines = Lines()
    async with unset_session(limit=None) as session:
        await session.gateway.sync_clock()
        usual, symbols = usual_pace(session), tuple(session.settings.symbols)
        pace = Pace(usual.silence, usual.rotate, overlap=0.5, first_wait=0.1, longest_wait=2.0)
        with SoleStream(session.engine, session.settings.account) as sole:
            moved = asyncio.Event()
            follow = partial(book_fills, session, partial(_settle, session), moved, lines.warn)
            watch = partial(watch_positions, session, moved, lines.warn)
            stream = Stream(session, symbols, lines, pace=pace, others=(sole.keep, follow, watch))
            with on_signals(stream.end):
                await stream.run()


if __name__ == "__main__":
    asyncio.run(main())

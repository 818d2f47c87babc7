"""The end of a stream whose universe has changed: its supervisor starts it again, with the new members."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from eightbells.runtime import Runtime
from eightbells.stream.rest_catch_up import DATABASE_AWAY
from eightbells.universe.members import resolved

_LOOK_SECONDS = 20.0


async def until_other_members(runtime: Runtime, warn: Callable[[str], None]) -> None:
    """Return once other symbols are traded than the stream began with; without a rule never."""
    began = set(runtime.settings.symbols)
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        try:
            now = set(await asyncio.to_thread(_symbols, runtime))
        except DATABASE_AWAY as error:
            warn(f"could not look at the universe: {str(error).splitlines()[0]}")
            continue
        if now != began:
            warn("the universe has other members: the stream ends, and is started again with them")
            return


def _symbols(runtime: Runtime) -> list[str]:
    with runtime.engine.connect() as connection:
        return resolved(connection, runtime.settings).symbols

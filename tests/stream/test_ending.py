"""A part of the stream ends when it is told to, whatever happens at that very moment."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import Engine

from tests.exchange import Simulator
from tests.stream.watched import watched


@pytest.mark.parametrize("turns", range(6))
async def test_catching_up_ends_though_it_is_wanted_at_that_moment(
    market: Simulator, engine: Engine, symbols: tuple[str, ...], turns: int
) -> None:
    """For some number of turns of the event loop its wait is over, and it does not know yet."""
    async with watched(market, engine, symbols) as watch:
        catch_up = asyncio.create_task(watch.stream._catch_up.run())
        await asyncio.sleep(0.5)  # it has found nothing missing and waits
        watch.stream._catch_up.wanted.set()
        for _ in range(turns):
            await asyncio.sleep(0)
        catch_up.cancel()
        await asyncio.wait([catch_up], timeout=2)
        ended = catch_up.cancelled()
        catch_up.cancel()
        assert ended

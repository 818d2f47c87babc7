"""Whatever fault strikes, each closed candle of fifty symbols is stored once, as the exchange has it, in time."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import Engine

from tests.exchange import Simulator
from tests.stream.compressed import BOUND, LEAD, SILENCE
from tests.stream.watched import Watched, watched

Symbols = tuple[str, ...]


async def lost(watch: Watched, words: str, within: float = 5) -> None:
    """Wait until the stream has told of a loss in these words."""
    await watch.until(lambda: any(words in warning for warning in watch.told.warnings), within)


async def test_closed_candles_come_over_the_streams(
    market: Simulator, engine: Engine, symbols: Symbols
) -> None:
    async with watched(market, engine, symbols) as watch:
        await watch.set_clock(LEAD)
        await watch.until_close()
        assert await watch.all_stored() == {"ws": len(symbols)}
        assert watch.told.warnings == []


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("close", "ConnectionClosed"),
        ("reset", "ConnectionClosed"),
        ("half_open", "no message"),
        ("silent", "no message"),
        ("server_shutdown", "announced"),
    ],
)
async def test_a_connection_that_ends_or_falls_silent_before_a_close_is_replaced(
    market: Simulator, engine: Engine, symbols: Symbols, kind: str, told: str
) -> None:
    async with watched(market, engine, symbols) as watch:
        await watch.set_clock(LEAD + SILENCE)
        fault = await watch.fault(kind)
        await lost(watch, told)
        await watch.until(lambda: watch.is_connected, 5)
        await watch.until_close()
        await watch.all_stored()
        assert (await watch.fired())[fault] >= 1


@pytest.mark.parametrize("kind", ["half_open", "silent"])
async def test_a_connection_that_is_silent_across_a_close_costs_no_candle(
    market: Simulator, engine: Engine, symbols: Symbols, kind: str
) -> None:
    async with watched(market, engine, symbols) as watch:
        await watch.set_clock(LEAD)
        await watch.fault(kind)
        await watch.until_close()
        assert "rest" in await watch.all_stored()
        await lost(watch, "no message")
        await watch.until(lambda: watch.is_connected, 5)


@pytest.mark.parametrize("status", [403, 429, 503])
async def test_rest_stands_in_while_connections_are_refused(
    market: Simulator, engine: Engine, symbols: Symbols, status: int
) -> None:
    async with watched(market, engine, symbols) as watch:
        await watch.set_clock(LEAD)
        refusal = await watch.fault("refuse", status=status)
        await watch.fault("reset")
        await lost(watch, f"HTTP {status}")
        await watch.until_close()
        assert await watch.all_stored() == {"rest": len(symbols)}
        await watch.until(lambda: watch.told.facts.get("candles over REST") == "yes", 2)
        await watch.mend(refusal)
        await watch.until(lambda: watch.is_connected, 10)
        await watch.until(lambda: watch.told.facts["candles over REST"] == "no", 2)


@pytest.mark.parametrize("kind", ["duplicate", "out_of_order", "missing_close", "garbage"])
async def test_frames_that_are_distorted_change_nothing(
    market: Simulator, engine: Engine, symbols: Symbols, kind: str
) -> None:
    async with watched(market, engine, symbols) as watch:
        await watch.set_clock(LEAD)
        fault = await watch.fault(kind, probability=0.5, seed=7)
        await watch.until_close()
        sources = await watch.all_stored()
        assert (await watch.fired())[fault] > 10
        assert set(sources) == ({"ws"} if kind == "duplicate" else {"ws", "rest"} - _lossless(kind))


def _lossless(kind: str) -> set[str]:
    """Frames out of order all come, but for one that is held when the test ends."""
    return {"rest"} if kind == "out_of_order" else set()


async def test_a_connection_that_brings_nothing_but_garbage_is_given_up(
    market: Simulator, engine: Engine, symbols: Symbols
) -> None:
    async with watched(market, engine, symbols) as watch:
        fault = await watch.fault("garbage")
        await lost(watch, "could not be read")
        await watch.mend(fault)
        await watch.set_clock(LEAD)
        await watch.until(lambda: watch.is_connected, 5)
        await watch.until_close()
        await watch.all_stored()


async def test_an_exchange_that_is_down_across_a_close_is_caught_up_with(
    market: Simulator, engine: Engine, symbols: Symbols
) -> None:
    async with watched(market, engine, symbols) as watch:
        await watch.set_clock(LEAD)
        faults = [await watch.rest_fault(), await watch.fault("refuse", status=503)]
        await watch.fault("reset")
        await watch.until_close()
        await asyncio.sleep(2 * BOUND / 3)
        assert not watch.sources()
        for fault in faults:
            await watch.mend(fault)
        await watch.all_stored()

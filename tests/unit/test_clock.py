"""The exchange's clock: measured by the quickest answer, steady in between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from eightbells.exchange.clock import ExchangeClock

IN_2021 = 1_614_556_800_000


def server(ahead_ms: float, trips: list[tuple[float, float]]) -> Callable[[], Awaitable[int]]:
    """An exchange `ahead_ms` ahead of this machine; each question takes so many seconds there, and back."""
    waiting = iter(trips)

    async def ask() -> int:
        there, back = next(waiting)
        await asyncio.sleep(there)
        told = int(time.time() * 1000 + ahead_ms)
        await asyncio.sleep(back)
        return told

    return ask


async def error_after(
    clock: ExchangeClock, ask: Callable[[], Awaitable[int]], ahead_ms: float, samples: int
) -> float:
    await clock.sync(ask, samples)
    return clock.now_ms() - (time.time() * 1000 + ahead_ms)


@pytest.mark.parametrize("ahead", [0, 3_600_000, -86_400_000, IN_2021 - 1_767_225_600_000])
async def test_any_offset_is_found(ahead: float) -> None:
    wrong = await error_after(ExchangeClock(), server(ahead, [(0.01, 0.01)] * 3), ahead, 3)
    assert abs(wrong) < 100


async def test_the_quickest_answer_is_trusted_and_a_slow_one_misleads_nobody() -> None:
    trips = [(0.4, 0.0), (0.0, 0.4), (0.002, 0.002), (0.5, 0.0)]
    wrong = await error_after(ExchangeClock(), server(5000, trips), 5000, 4)
    assert abs(wrong) < 100  # the slow ones alone would be 200 to 250 off


async def test_a_slow_answer_is_taken_to_be_half_as_old_as_its_trip() -> None:
    wrong = await error_after(ExchangeClock(), server(0, [(0.15, 0.15)]), 0, 1)
    assert abs(wrong) < 100


async def test_time_goes_on_between_measurements() -> None:
    clock = ExchangeClock()
    await clock.sync(server(0, [(0, 0)]), 1)
    before = clock.now_ms()
    await asyncio.sleep(0.05)
    assert clock.now_ms() - before >= 45


async def test_a_new_measurement_replaces_the_old_one() -> None:
    clock = ExchangeClock()
    await clock.sync(server(0, [(0, 0)]), 1)
    wrong = await error_after(clock, server(-500_000, [(0, 0)]), -500_000, 1)
    assert abs(wrong) < 100


async def test_a_failed_measurement_leaves_the_clock_as_it_was() -> None:
    clock = ExchangeClock()
    await clock.sync(server(7000, [(0, 0)]), 1)

    async def silent() -> int:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        await clock.sync(silent)
    assert abs(clock.now_ms() - (time.time() * 1000 + 7000)) < 100


def test_before_the_first_measurement_there_is_no_time() -> None:
    clock = ExchangeClock()
    assert not clock.is_set
    assert clock.is_stale
    with pytest.raises(RuntimeError, match="not known yet"):
        clock.now_ms()

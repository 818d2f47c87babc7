"""A process that is killed at the worst moment: whoever comes after finds what it left, and nothing doubles."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from eightbells.candles import grid
from tests.exchange import LAST
from tests.flows.conftest import Watch
from tests.klines import wait_until
from tests.surroundings import ROOT

CYCLE = """
import asyncio, sys
from datetime import datetime
from flows.four_hour_cycle import four_hour_cycle
asyncio.run(four_hour_cycle(candle=datetime.fromisoformat(sys.argv[1]), symbols=["BTCUSDT"]))
"""
ORDER = "POST /api/v3/order"


@pytest.fixture
def mortal(watch: Watch, prefect_server: str, monkeypatch: pytest.MonkeyPatch) -> Watch:
    """A watch whose cycles can be run in a process of their own, and killed."""
    monkeypatch.setenv("PREFECT_API_URL", prefect_server)
    return watch


@contextmanager
def cycle_in_a_process() -> Iterator[subprocess.Popen[bytes]]:
    """A cycle in a process of its own; it is killed at the end of the block, unless it has ended.

    The lease that it leaves is soon over.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", CYCLE, grid.to_time(LAST).isoformat()],
        cwd=ROOT,
        env={**os.environ, "EIGHTBELLS_TRADING__LEASE_SECONDS": "2"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def kill_when(happened: object) -> None:
    """Run a cycle and kill it as soon as something has happened."""
    with cycle_in_a_process() as process:
        wait_until(lambda: happened() or process.poll() is not None, 60)  # type: ignore[operator]
        assert process.poll() is None, "the cycle ended before it could be killed"


def states(watch: Watch) -> list[str]:
    return [state for (state,) in watch.rows("SELECT state FROM orders ORDER BY id")]


@pytest.mark.parametrize("arrived", [True, False], ids=["the exchange has it", "it never arrived"])
async def test_killed_between_the_commit_and_the_reply(mortal: Watch, arrived: bool) -> None:
    watch = mortal
    fault = watch.simulator.fault(ORDER, {"silence": 20}, when="after" if arrived else "before")
    kill_when(lambda: watch.simulator.fired()[fault])
    assert states(watch) == ["SENDING"]
    assert len(watch.simulator.orders()) == int(arrived)
    watch.simulator.advance(16_000)
    report = await watch.cycle(symbols=["BTCUSDT"])
    assert report.outcome == "complete"
    assert states(watch) == (["FILLED"] if arrived else ["ABSENT", "FILLED"])
    assert len(watch.simulator.orders()) == 1
    assert watch.differences() == []

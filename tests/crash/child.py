"""What a child process does: a flow of the product, whole, with the points set; then it tells how it went.

Imported once by the server that the children are forked from, so that none of them has to load the libraries.
"""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from types import SimpleNamespace
from typing import Any

import pandas as pd

import eightbells.quality
import flows.four_hour_cycle as cycle_module
import tasks.orders
from eightbells.candles import grid
from eightbells.candles.timeframe import Timeframe
from eightbells.errors import EightbellsError
from eightbells.exchange import clock
from eightbells.settings import load_settings
from eightbells.strategies import child
from eightbells.strategies.evaluation import code_version
from eightbells.strategies.process import PROCESS, StrategyProcess
from flows.adopt import adopt
from flows.four_hour_cycle import four_hour_cycle
from flows.halt import halt
from flows.pause import pause
from flows.reconcile import reconcile
from flows.resume import resume
from flows.sell import sell
from tests.crash.jobs import Job, Told
from tests.crash.points import Points, install
from tests.crash.prefect_stub import Wait, without_prefect
from tests.exchange import Simulator

code_version()  # it asks git, once a process


class _Sound:
    """In the place of the suite, which takes longer than all the rest: the simulator's candles are sound."""

    NAME = "taken as sound"

    @staticmethod
    def judge(frame: pd.DataFrame, now_ms: int, timeframe: Timeframe) -> dict[int, list[str]]:
        return {}

    @staticmethod
    def is_sound(numbers: pd.DataFrame, now_ms: int, timeframe: Timeframe) -> bool:
        return True

    @staticmethod
    def warnings_of(looks: pd.DataFrame) -> dict[int, list[str]]:
        return {}

    @staticmethod
    def last_result() -> SimpleNamespace:
        meta = {"great_expectations_version": "none"}
        return SimpleNamespace(success=True, suite_name="sound", statistics={}, meta=meta, results=[])


eightbells.quality.suite = _Sound  # type: ignore[attr-defined]


class _Forked(subprocess.Popen[bytes]):
    """The strategies' process as a fork: a new interpreter would take longer than all the rest."""

    def __init__(self, pipe: Connection) -> None:
        self.pid = os.fork()
        if not self.pid:
            os.setpgid(0, 0)
            os.closerange(3, pipe.fileno())
            os.closerange(pipe.fileno() + 1, 1024)
            child.serve(pipe)

    def __del__(self) -> None: ...

    def poll(self) -> int | None:
        return None

    def wait(self, timeout: float | None = None) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


StrategyProcess._spawn = staticmethod(_Forked)  # type: ignore[method-assign, assignment]


def work(job: Job) -> Told:
    """Run one job in this process, which it leaves changed."""
    _take_environment(job.environment)
    PROCESS.start(load_settings().limits)  # while there is one thread only
    points = Points(job.target, job.act)
    install(points)
    wait = _leap_instead_of_waiting(job.simulator) if job.leaping else asyncio.sleep
    error, problems = "", []
    with without_prefect(job.run, wait):
        try:
            problems = asyncio.run(_FLOWS[job.flow](job, points))
        except Exception as failure:
            error = f"{type(failure).__name__}: {failure}"
            if not isinstance(failure, EightbellsError):
                error = f"not foreseen: {error}"
    return Told(problems, error, points.passed)


async def _cycle(job: Job, points: Points) -> list[str]:
    fetch = cycle_module.fetch_newest

    async def fetch_newest(*args: Any) -> Any:
        ingested = await fetch(*args)
        points.armed = True  # from here on there is something to decide
        return ingested

    cycle_module.fetch_newest = fetch_newest
    report = await four_hour_cycle.fn(**{**job.parameters, "candle": grid.to_time(job.parameters["candle"])})
    return report.problems  # type: ignore[no-any-return]


async def _reconcile(job: Job, points: Points) -> list[str]:
    points.armed = True
    found = await reconcile.fn()
    return [f"{drift.symbol}: {drift.detail}" for drift in found.drifts]


async def _halt(job: Job, points: Points) -> list[str]:
    points.armed = True
    return await halt.fn(**job.parameters)  # type: ignore[no-any-return]


async def _sell(job: Job, points: Points) -> list[str]:
    points.armed = True
    return (await sell.fn(**job.parameters)).problems


async def _adopt(job: Job, points: Points) -> list[str]:
    points.armed = True
    await adopt.fn(**job.parameters)
    return []


async def _pause(job: Job, points: Points) -> list[str]:
    points.armed = True
    return await pause.fn(**job.parameters)  # type: ignore[no-any-return]


async def _resume(job: Job, points: Points) -> list[str]:
    points.armed = True
    await resume.fn(**job.parameters)
    return []


_FLOWS: dict[str, Callable[[Job, Points], Awaitable[list[str]]]] = {
    "cycle": _cycle,
    "reconcile": _reconcile,
    "halt": _halt,
    "sell": _sell,
    "pause": _pause,
    "resume": _resume,
    "adopt": _adopt,
}


def _take_environment(environment: dict[str, str]) -> None:
    for name in [name for name in os.environ if name.startswith("EIGHTBELLS_")]:
        del os.environ[name]
    os.environ.update(environment)


def _leap_instead_of_waiting(simulator: str) -> Wait:
    """Between attempts, and where an order is asked for again and again, the exchange's clock and ours leap."""
    steady, leapt = clock._steady_ms, 0

    exchange = Simulator(simulator)

    async def leap(seconds: float) -> None:
        nonlocal leapt
        exchange.advance(int(seconds * 1000))
        leapt += int(seconds * 1000)

    clock._steady_ms = lambda: steady() + leapt
    tasks.orders.asyncio = SimpleNamespace(**{**vars(asyncio), "sleep": leap})  # type: ignore[assignment]
    return leap


gc.collect()
gc.freeze()  # what is loaded here is never looked through again, and so stays shared

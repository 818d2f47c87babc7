"""Budgets as the exchange sees them: four processes, one limit, no window in which it is exceeded."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy.engine import URL

from tests.exchange import Simulator
from tests.gateway.full import FULL
from tests.surroundings import ROOT

PROCESSES = 4
KLINES = "/api/v3/klines"
LIMIT = 50
# Window and how long it is looked at, in seconds. Beyond ten seconds a window has the margin that a minute has.
FORMS = [pytest.param(10.5, 12.0, id="a compressed minute")]
if FULL:
    FORMS.append(pytest.param(60.0, 125.0, id="a minute"))
Asking = Callable[..., None]


@pytest.fixture(scope="module")
def processes() -> Iterator[list[subprocess.Popen[str]]]:
    command = [sys.executable, "-m", "tests.gateway.asker"]
    started = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(PROCESSES)
    ]
    for process in started:
        assert said_by(process) == "ready"
    yield started
    for process in started:
        process.communicate(timeout=10)
        assert process.returncode == 0


def said_by(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.fixture
def ask(processes: list[subprocess.Popen[str]], simulator: Simulator, database: URL) -> Asking:
    """Lets every process ask `rate` times a second for so many seconds."""

    def start(seconds: float, rate: float, limit: int, window: float) -> None:
        begin = time.time() + 0.7
        order = {
            "url": f"{simulator.url}/api",
            "database": database.render_as_string(hide_password=False),
            "begin": begin,
            "until": begin + seconds,
            "rate": rate,
            "limit": limit,
            "window": window,
        }
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(json.dumps(order) + "\n")
            process.stdin.flush()
        assert [said_by(process) for process in processes] == ["done"] * PROCESSES

    return start


def log_of(simulator: Simulator, path: str) -> list[tuple[float, int]]:
    """Real time and HTTP status of each request, as the exchange answered it."""
    log: list[dict[str, Any]] = simulator.ask("/simulator/truth?log=200000")["requests"]["log"]
    return [(entry["real_ts"] / 1000, entry["status"]) for entry in log if entry["path"] == path]


def most_in_a_window(moments: list[float], seconds: float) -> int:
    first, most = 0, 0
    for last, moment in enumerate(moments):
        while moments[first] <= moment - seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


def share_used(moments: list[float], limit: int, seconds: float) -> float:
    """How soon after its window a request follows the one whose place it takes: 1 would be at once."""
    turns = [later - earlier for earlier, later in zip(moments, moments[limit:], strict=False)]
    assert len(turns) > limit / 2
    return seconds / statistics.mean(turns)


@pytest.mark.parametrize(("window", "seconds"), FORMS)
def test_four_processes_asking_for_ten_times_a_budget_never_exceed_it_and_use_it(
    simulator: Simulator, ask: Asking, window: float, seconds: float
) -> None:
    ask(seconds, 10 * LIMIT / window / PROCESSES, LIMIT, window)
    moments = [at for at, _ in log_of(simulator, KLINES)]
    most, used = most_in_a_window(moments, window), share_used(moments, LIMIT, window)
    print(f"{len(moments)} klines, at most {most} of {LIMIT} in {window:g} s, {used:.1%} used")
    assert most <= LIMIT
    assert used > (0.95 if window == 60 else 0.9)


def test_after_a_ban_met_by_one_nobody_asks_until_it_is_over(simulator: Simulator, ask: Asking) -> None:
    ban = 2
    simulator.fault(f"GET {KLINES}", {"ban": ban}, nth=20)
    ask(0.5 + ban + 1.0, 60, 1_000_000, 1.0)
    log = log_of(simulator, KLINES)
    banned = next(at for at, status in log if status == 418)
    in_flight = [at - banned for at, _ in log if banned < at < banned + ban]
    back = [(at - banned, status) for at, status in log if at >= banned + ban]
    print(
        f"{len(in_flight)} in flight, the last after {max(in_flight, default=0):.3f} s; back after {back[0][0]:.2f} s"
    )
    assert len(in_flight) <= PROCESSES * 8  # their connections
    assert all(after < 0.5 for after in in_flight)
    assert back[0][0] < ban * 1.05 + 0.5
    assert {status for _, status in back} == {200}

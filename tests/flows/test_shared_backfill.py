"""A backfill whose symbols several runs share, on the workers of a work pool, one of them killed on its way."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from cli import prefect_api
from eightbells.candles.claims import Claims
from eightbells.candles.timeframe import CYCLE
from eightbells.errors import EightbellsError
from tests.crash.killed_backfill import asked_pages
from tests.exchange import SYMBOLS
from tests.flows.conftest import Watch
from tests.klines import wait_until
from tests.surroundings import ROOT

POOL, WORKERS = "eightbells", 3
SECONDS = 240.0  # each worker and each run is a process of its own, on a machine that may be busy


def prefect(*words: str) -> list[str]:
    return [sys.executable, "-m", "prefect", "--no-prompt", *words]


@contextmanager
def worker(number: int, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A worker that takes one run at a time."""
    words = ("--pool", POOL, "--type", "process", "--limit", "1", "--name", f"worker-{number}")
    with open(folder / f"worker-{number}.log", "wb") as log:
        process = subprocess.Popen(prefect("worker", "start", *words), cwd=ROOT, stdout=log, stderr=log)
    try:
        yield process
    finally:
        kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to a worker and to all that it has started."""
    if process.poll() is None:
        for member in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
            member.kill()
    process.wait()


def runs_of(deployment: str) -> dict[str, str]:
    """The state of each run of a deployment."""
    wanted = {"deployments": {"id": {"any_": [deployment]}}}
    found: list[dict[str, Any]] = prefect_api.ask("/flow_runs/filter", wanted)
    return {str(it["id"]): str(it["state"]["name"]) for it in found}


def test_runs_share_the_symbols_and_what_a_killed_worker_leaves_the_others_load(
    watch: Watch, prefect_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", prefect_server)
    monkeypatch.setenv("EIGHTBELLS_HOME", str(ROOT))
    watch.use(symbols=SYMBOLS, exchange__concurrency=2)
    watch.simulator.fault("GET /api/v3/klines", {"delay": 2}, times=10**6)
    for words in (("work-pool", "create", POOL, "--type", "process"), ("deploy", "--name", "backfill")):
        subprocess.run(prefect(*words), cwd=ROOT, check=True, capture_output=True)
    deployment = str(prefect_api.ask("/deployments/name/backfill/backfill")["id"])
    loading = "SELECT DISTINCT flow_run FROM batches WHERE flow_run IS NOT NULL"
    with ExitStack() as stack:
        workers = [stack.enter_context(worker(number, tmp_path)) for number in range(WORKERS)]
        with Claims(watch.engine, CYCLE) as held:  # until all are there: two would soon be ready
            held.take(SYMBOLS, len(SYMBOLS))
            prefect_api.ask(f"/deployments/{deployment}/create_flow_run", {"parameters": {"runs": WORKERS}})
            wait_until(lambda: [*runs_of(deployment).values()].count("Running") == WORKERS, SECONDS)
        wait_until(lambda: len(watch.rows(loading)) == WORKERS, SECONDS)
        kill(workers[0])
        wait_until(lambda: [*runs_of(deployment).values()].count("Completed") == WORKERS - 1, SECONDS)
    asked = asked_pages(watch.simulator)
    assert max(asked.values()) <= 2  # twice what was under way at the kill
    assert Counter(asked.values())[1] > Counter(asked.values())[2]
    watch.simulator.session.delete(f"{watch.simulator.url}/simulator/faults", timeout=10).raise_for_status()
    assert watch.incomplete() == []
    assert watch.rows("SELECT DISTINCT symbol FROM candles ORDER BY symbol") == [
        (it,) for it in sorted(SYMBOLS)
    ]


def test_a_symbol_is_claimed_by_one_run_until_that_one_ends(watch: Watch) -> None:
    with Claims(watch.engine, CYCLE) as first, Claims(watch.engine, CYCLE) as second:
        assert first.take(SYMBOLS, 2) == SYMBOLS[:2]
        assert second.take(SYMBOLS, 9) == SYMBOLS[2:]
        first.release(SYMBOLS[:1])
        assert second.take(SYMBOLS[:2], 9) == SYMBOLS[:1]
    with Claims(watch.engine, CYCLE) as third:
        assert third.take(SYMBOLS, 9) == SYMBOLS


async def test_who_cannot_start_further_runs_says_so(watch: Watch) -> None:
    from flows.backfill import backfill

    with pytest.raises(EightbellsError, match="only a run of the deployment 'backfill'"):
        await backfill(symbols=["BTCUSDT"], runs=2)
    with pytest.raises(EightbellsError, match="runs is 0: it must lie between 1 and 100"):
        await backfill(symbols=["BTCUSDT"], runs=0)

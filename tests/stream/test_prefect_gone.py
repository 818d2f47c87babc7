"""A Prefect server that dies costs the stream its picture: candles are stored, and SIGTERM ends it in time."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlalchemy.engine import URL

from eightbells.candles import grid
from tests.exchange import STEP, Simulator
from tests.klines import one, wait_until
from tests.stream.soaked import environment
from tests.stream.watched import CLOSE, OPENED, STANDS
from tests.surroundings import ROOT

_PATIENCE = 120.0  # Prefect's server starts in ten seconds on a machine that does nothing else
_ENDS_WITHIN = 10.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A Prefect server in a process of its own, and its address."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}/api"
    with open(tmp_path / "server.log", "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)],
            stdout=log,
            stderr=log,
            env={**os.environ, "PREFECT_HOME": str(tmp_path / "prefect")},
            start_new_session=True,
        )
    try:
        wait_until(lambda: _answers(url), _PATIENCE)
        yield url, process
    finally:
        process.kill()
        process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def test_a_stream_whose_prefect_server_is_gone_stores_candles_and_ends_in_time(
    market: Simulator,
    database: URL,
    engine: Engine,
    symbols: tuple[str, ...],
    tmp_path: Path,
    server: tuple[str, subprocess.Popen[bytes]],
) -> None:
    url, prefect = server
    given = environment(
        market, database, symbols, exchange__clock_speed=STANDS, stream__heartbeat_seconds=0.5
    )
    market.control("clock", time=CLOSE - 1, speed=0)

    def stored(opened: int) -> int:
        return int(one(engine, "SELECT count(*) FROM candles WHERE open_time = :at", at=grid.to_time(opened)))

    with open(tmp_path / "flow.log", "wb") as log:
        flow = subprocess.Popen(
            [Path(sys.executable).with_name("eightbells"), "stream"],
            cwd=ROOT,
            stdout=log,
            stderr=log,
            env={**given, "PREFECT_API_URL": url, "PREFECT_LOGGING_TO_API_ENABLED": "true"},
        )
    try:
        wait_until(lambda: stored(OPENED - STEP) == len(symbols), _PATIENCE)
        prefect.kill()
        prefect.wait()
        time.sleep(1)  # a heartbeat finds nobody
        market.control("clock", advance=10)
        wait_until(lambda: stored(OPENED) == len(symbols), _PATIENCE)
        flow.terminate()
        flow.wait(_ENDS_WITHIN)
    finally:
        flow.kill()
        flow.wait()

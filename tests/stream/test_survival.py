"""Kill -9 of the stream's process and of Postgres, an orderly end, and a second stream: no candle is lost by any."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlalchemy.engine import URL
from sqlalchemy.exc import OperationalError

from eightbells.candles import grid
from eightbells.database import embedded
from eightbells.database.engine import connect
from eightbells.database.migrations import migrate
from tests.exchange import STEP, Simulator
from tests.klines import one, rows_of, wait_until
from tests.stream.compressed import CATCH_UP, SILENCE
from tests.stream.soaked import Worker
from tests.stream.watched import CLOSE, OPENED, STANDS, differences

Symbols = tuple[str, ...]
Start = Callable[[], Worker]
_PATIENCE = 60.0  # a process imports for seconds before it streams
_ENDS_WITHIN = 10.0


@pytest.fixture
def start(market: Simulator, database: URL, symbols: Symbols, tmp_path: Path) -> Start:
    return lambda: _worker(market, database, symbols, tmp_path)


def _worker(market: Simulator, database: URL, symbols: Symbols, folder: Path) -> Worker:
    return Worker(
        market,
        database,
        symbols,
        STANDS,
        folder / "worker.log",
        stream__silence_seconds=SILENCE,
        stream__catch_up_seconds=CATCH_UP,
        stream__heartbeat_seconds=0.2,
    )


@contextmanager
def connected(market: Simulator, worker: Worker) -> Iterator[Worker]:
    """A stream in a process of its own that is connected and has caught up; a candle is about to close."""
    market.control("clock", time=CLOSE - 1, speed=0)
    with worker:
        worker.wait_connected()
        wait_until(lambda: worker.facts["newest candle"] == grid.label(OPENED - STEP), _PATIENCE)
        wait_until(lambda: worker.facts["symbols behind"] == "none", _PATIENCE)
        yield worker


def close(market: Simulator) -> None:
    market.control("clock", advance=10)


def whole(engine: Engine, symbols: Symbols) -> Callable[[], bool]:
    def stored() -> bool:
        with suppress(OperationalError):  # a Postgres that recovers answers in a moment
            count = "SELECT count(*) FROM candles WHERE open_time = :at"
            return bool(one(engine, count, at=grid.to_time(OPENED)) == len(symbols))
        return False

    return stored


def test_a_stream_that_is_killed_at_a_close_finds_its_candles_when_it_is_started_again(
    market: Simulator, engine: Engine, symbols: Symbols, start: Start
) -> None:
    with connected(market, start()) as worker:
        close(market)
        worker.process.kill()
        worker.process.wait()
    assert not whole(engine, symbols)()
    with start():
        wait_until(whole(engine, symbols), _PATIENCE)
    assert differences(market, engine, symbols) == []


def test_sigterm_ends_the_stream_with_everything_written_that_came(
    market: Simulator, engine: Engine, symbols: Symbols, start: Start
) -> None:
    with connected(market, start()) as worker:
        close(market)
        time.sleep(0.15)  # the frames are there, and not yet judged
        told = time.monotonic()
        worker.process.terminate()
        assert worker.process.wait(_ENDS_WITHIN) == 0, worker.said()
        assert time.monotonic() - told < _ENDS_WITHIN
    assert rows_of(
        engine,
        "SELECT source, count(*) FROM candles WHERE open_time = :at GROUP BY source",
        at=grid.to_time(OPENED),
    ) == [("ws", len(symbols))]


def test_an_account_has_one_stream(market: Simulator, start: Start) -> None:
    with connected(market, start()), start() as second:
        assert second.process.wait(_PATIENCE) != 0
        assert "another stream runs for this account" in second.said()


@pytest.fixture
def breakable(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Iterator[tuple[Engine, URL]]:
    """A Postgres that nobody else needs."""
    place = folder / "breakable"
    with embedded.server(place) as server:
        server.ensure_database("stream", fresh=True)
        engine = connect(server.url("stream"))
        migrate(engine)
        yield engine, server.url("stream")
        engine.dispose()


def test_a_postgres_that_crashes_at_a_close_costs_no_candle_and_no_restart(
    market: Simulator, breakable: tuple[Engine, URL], symbols: Symbols, tmp_path: Path
) -> None:
    engine, url = breakable
    with connected(market, _worker(market, url, symbols, tmp_path)) as worker:
        born = one(engine, "SELECT pg_postmaster_start_time()")
        victims = rows_of(engine, "SELECT pid FROM pg_stat_activity WHERE application_name = 'eightbells'")
        close(market)
        os.kill(victims[0][0], signal.SIGKILL)  # the server ends every session and recovers from its log
        wait_until(whole(engine, symbols), _PATIENCE)
        assert worker.process.poll() is None
        assert one(engine, "SELECT pg_postmaster_start_time()") == born
    assert differences(market, engine, symbols) == []

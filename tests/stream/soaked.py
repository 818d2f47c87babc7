"""What a soak stands on: a Postgres and a stream in processes of their own, and how their work is held to account."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any

from sqlalchemy import Engine, text
from sqlalchemy.engine import URL

from eightbells.candles import grid
from eightbells.database import embedded
from eightbells.database.engine import connect
from eightbells.database.migrations import migrate
from tests.exchange import START, STEP, Simulator
from tests.surroundings import ROOT

_START_SECONDS = 120.0


@contextmanager
def fresh_database(folder: Path) -> Iterator[tuple[Engine, URL]]:
    with embedded.server(folder) as server:
        server.ensure_database("soak")
        engine = connect(server.url("soak"))
        migrate(engine)
        try:
            yield engine, server.url("soak")
        finally:
            engine.dispose()


def environment(simulator: Simulator, database: URL, symbols: Sequence[str], **given: Any) -> dict[str, str]:
    """What a worker is to find in its environment."""
    address = simulator.url.replace("http", "ws", 1)
    settings = {
        "exchange__rest_url": f"{simulator.url}/api",
        "exchange__stream_url": f"{address}/",
        "exchange__ws_api_url": f"{address}/ws-api/v3",
        "symbols": list(symbols),
        "strategies": [],
        "budgets__klines": "exchange",
        "candles__refetch": 3,
        **given,
    }
    named = {
        f"EIGHTBELLS_{name.upper()}": value if isinstance(value, str) else json.dumps(value)
        for name, value in settings.items()
    }
    return {**os.environ, **named, "DATABASE_URL": database.render_as_string(hide_password=False)}


class Worker:
    """The stream's process; its facts are those of its last heartbeat."""

    def __init__(
        self,
        simulator: Simulator,
        database: URL,
        symbols: Sequence[str],
        speed: float,
        log: Path,
        **given: Any,
    ) -> None:
        rotate = 20.0  # of the exchange's hours: an hour is a sixth of a second, and subscribing takes one
        self._environment = environment(
            simulator,
            database,
            symbols,
            **{
                "exchange__clock_speed": speed,
                "stream__rotate_hours": rotate,
                "stream__silence_seconds": 3,
                "stream__catch_up_seconds": 0.7,
                "stream__heartbeat_seconds": 1,
                **given,
            },
        )
        self._log, self.facts = log, dict[str, str]()

    def __enter__(self) -> Worker:
        with open(self._log, "ab") as sink:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.stream.worker"],
                cwd=ROOT,
                env=self._environment,
                stdout=subprocess.PIPE,
                stderr=sink,
                text=True,
            )
        self._listener = threading.Thread(target=self._listen, args=(self.process.stdout,), daemon=True)
        self._listener.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._listener.join(5)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def _listen(self, lines: Any) -> None:
        for line in lines:
            self.facts = json.loads(line)

    def said(self) -> str:
        return self._log.read_text(errors="replace")[-2000:]

    def wait_connected(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not self.facts or self.facts["candles over REST"] == "yes":
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.1)

    def memory(self) -> float:
        """Resident megabytes."""
        assert self.process.poll() is None, f"the stream has died: {self.said()}"
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024


def stored(engine: Engine) -> int:
    """Candles stored of those that closed since the start."""
    with engine.connect() as connection:
        return int(
            connection.execute(
                text("SELECT count(*) FROM candles WHERE open_time >= :start"), {"start": grid.to_time(START)}
            ).scalar_one()
        )


_ROWS = """
SELECT open_time, open, high, low, close, volume, close_time, quote_volume, trades, taker_buy_base, taker_buy_quote
FROM candles WHERE symbol = :symbol AND open_time BETWEEN :first AND :last ORDER BY open_time
"""


def wrong_rows(
    simulator: Simulator, engine: Engine, symbols: Sequence[str], first: int, last: int
) -> tuple[int, int]:
    """How many rows differ from what the exchange serves, and how many were restated or set aside."""
    wrong = 0
    with engine.connect() as connection:
        for symbol in symbols:
            values = {"symbol": symbol, "first": grid.to_time(first), "last": grid.to_time(last)}
            rows = {_row(tuple(row)) for row in connection.execute(text(_ROWS), values)}
            served = {exact(kline) for kline in simulator.klines(symbol, first, last)}
            assert len(served) == (last - first) // STEP + 1
            wrong += len(rows - served)
        restated = sum(
            connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
            for table in ("candle_revisions", "quarantined_candles")
        )
    return wrong, restated


def _row(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return (grid.to_ms(row[0]), *row[1:6], grid.to_ms(row[6]), *row[7:])


def exact(kline: list[Any]) -> tuple[Any, ...]:
    """A kline of the exchange's answer as it should be stored."""
    opened, open_, high, low, close, volume, closed, quote, trades, base, taken, _ = kline
    prices = (Decimal(price) for price in (open_, high, low, close, volume))
    return (opened, *prices, closed, Decimal(quote), trades, Decimal(base), Decimal(taken))

"""An exchange with fifty symbols, a fresh database, and the stream's waits compressed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine
from sqlalchemy.engine import URL

from tests import exchange
from tests.conftest import Configure
from tests.exchange import START, Simulator
from tests.stream.compressed import CATCH_UP, SILENCE

COUNT = 50


@pytest.fixture(scope="session")
def fifty() -> Iterator[Simulator]:
    with exchange.running("--generate", str(COUNT), "--no-limits", "--stream-interval", "0.2") as simulator:
        yield simulator


@pytest.fixture(scope="session")
def symbols(fifty: Simulator) -> tuple[str, ...]:
    return tuple(entry["symbol"] for entry in fifty.ask("/api/v3/exchangeInfo")["symbols"])[:COUNT]


@pytest.fixture
def market(fifty: Simulator, database: URL, engine: Engine, configure: Configure) -> Simulator:
    """The exchange shortly after a close, and settings that point to it."""
    fifty.control("reset")
    fifty.control("clock", time=START + 3_500, speed=1)
    address = fifty.url.replace("http", "ws", 1)
    configure(
        fifty,
        database,
        exchange__stream_url=f"{address}/",
        exchange__ws_api_url=f"{address}/ws-api/v3",
        budgets__klines="exchange",
        candles__refetch="1",
        stream__catch_up_seconds=str(CATCH_UP),
        stream__silence_seconds=str(SILENCE),
        stream__heartbeat_seconds="0.5",
        strategies=[],
    )
    return fifty

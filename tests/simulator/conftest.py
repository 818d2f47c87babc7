"""One simulator for all tests, put back to its start before each, and folders of candles for others."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from simulator_process import ACCOUNTS, RATE_LIMITS, START, Lines, Simulator, entry, running


@pytest.fixture(scope="session")
def made_up_market() -> Iterator[Simulator]:
    accounts = [part for account in ACCOUNTS for part in ("--account", account)]
    with running("--generate", "8", "--speed", "0", "--stream-interval", "0.05", *accounts) as simulator:
        yield simulator


@pytest.fixture
def simulator(made_up_market: Simulator) -> Simulator:
    """A simulator with made-up candles, two accounts and a standing clock, as if just started."""
    made_up_market.control("reset")
    made_up_market.control("clock", time=START, speed=0)
    return made_up_market


@pytest.fixture
def folder_of(tmp_path: Path) -> Callable[[Lines], Path]:
    """Writes a data folder with some candles by symbol, and an exchangeInfo that also lists ADAUSDT."""

    def write(lines: Lines) -> Path:
        (tmp_path / "klines-4h").mkdir()
        (tmp_path / "exchange-info").mkdir()
        for symbol, rows in lines.items():
            text = "open_time,open,high,low,close,volume,close_time,quote_volume,trades,tb,tq,ignore\n"
            path = tmp_path / "klines-4h" / f"{symbol}-4h.csv.gz"
            path.write_bytes(gzip.compress((text + "\n".join(rows) + "\n").encode()))
        info = {"symbols": [entry(symbol) for symbol in [*lines, "ADAUSDT"]], "rateLimits": RATE_LIMITS}
        (tmp_path / "exchange-info" / "exchangeInfo-2024-01-01.json.gz").write_bytes(
            gzip.compress(json.dumps(info).encode())
        )
        return tmp_path

    return write


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real market data; skips where there is none."""
    folder = os.environ.get("EIGHTBELLS_MARKET_DATA")
    if not folder:
        pytest.skip("EIGHTBELLS_MARKET_DATA names no folder of real market data")
    return Path(folder)

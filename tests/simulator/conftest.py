"""One simulator for all tests, put back to its start before each, and folders of candles for others."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from simulated import ACCOUNTS, FILES, FILES_END, START, running, write_data

from tests.exchange import Simulator


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


@pytest.fixture(scope="session")
def market_of_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    folder = tmp_path_factory.mktemp("data")
    write_data(folder, FILES)
    with running("--data", str(folder), "--speed", "0") as simulator:
        yield simulator


@pytest.fixture
def filed(market_of_files: Simulator) -> Simulator:
    """A simulator with the candles of FILES, its clock standing at their end."""
    market_of_files.control("reset")
    market_of_files.control("clock", time=FILES_END, speed=0)
    return market_of_files

"""A database in which orders can follow from a decision."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from eightbells.database.embedded import EmbeddedServer
from eightbells.database.engine import connect
from tests.conftest import Configure, administer
from tests.exchange import Simulator
from tests.gateway.trading import BTC, Books
from tests.klines import FIRST, STEP, admitted, after, klines

DATABASE = "gateway"


@pytest.fixture(scope="package")
def decided(postgres: EmbeddedServer, template: str) -> Iterator[tuple[Engine, int]]:
    """One database for all tests of errors, and the validation that its decisions refer to."""
    administer(postgres, f"CREATE DATABASE {DATABASE} TEMPLATE {template}")
    engine = connect(postgres.url(DATABASE))
    yield engine, admitted(engine, klines(1), after(1)).verdicts[BTC].validation
    engine.dispose()
    postgres.drop_database(DATABASE)


@pytest.fixture
def books(decided: tuple[Engine, int], simulator: Simulator, configure: Configure) -> Books:
    """Orders of this test alone: the exchange lives just after their decision, permits are free, waits are short."""
    from tests.gateway.answers import quick_errors

    engine, validation = decided
    simulator.leap(FIRST + STEP)
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM budgets")
    configure(
        simulator,
        engine.url.set(drivername="postgresql"),
        symbols=[BTC],
        errors=quick_errors(),
        budgets__klines="exchange",
        budgets__orders="exchange",
        budgets__account="exchange",
    )
    return Books(engine, validation, simulator)

"""A database in which a decision on a proven candle has been made, to clone."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Engine
from sqlalchemy.engine import URL

from eightbells.database.embedded import EmbeddedServer
from eightbells.database.engine import connect
from tests import books
from tests.conftest import TEMPLATE, administer

DECIDED = "template_decided"


@pytest.fixture(scope="session")
def decision(postgres: EmbeddedServer, template: str) -> int:
    """The signal in that database: made once, since judging candles takes its time."""
    assert template == TEMPLATE
    administer(postgres, f"CREATE DATABASE {DECIDED} TEMPLATE {TEMPLATE}")
    engine = connect(postgres.url(DECIDED))
    signal = books.proven_signal(engine)
    engine.dispose()
    return signal


@pytest.fixture
def decided(decision: int, clone: Callable[[str], URL]) -> Iterator[Engine]:
    """A fresh database with the signal `decision` in it."""
    engine = connect(clone(DECIDED))
    yield engine
    engine.dispose()

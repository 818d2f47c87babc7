"""Where crashes are tried: the exchange and the Postgres that all tests share, and children that may die."""

from __future__ import annotations

import pytest

from eightbells.database.embedded import EmbeddedServer
from tests.crash.world import World
from tests.exchange import Simulator


@pytest.fixture(scope="session")
def world(postgres: EmbeddedServer, template: str, made_up_market: Simulator) -> World:
    return World(made_up_market, postgres, template)

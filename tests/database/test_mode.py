"""A database belongs to the mode that used it first: candles of one exchange are never traded on at another."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from eightbells.database.engine import open_database, require_mode
from eightbells.errors import EightbellsError
from tests.conftest import Configure


def test_the_first_mode_keeps_the_database(configure: Configure, database: URL) -> None:
    for _ in range(2):
        with open_database(configure(database=database, mode="testnet")):
            pass
    for other in ("paper", "live"):
        refused = pytest.raises(
            EightbellsError, match=f"mode 'testnet', not of '{other}'.*NAME=eightbells_{other}"
        )
        with refused, open_database(configure(database=database, mode=other)):
            pass


def test_of_two_at_once_one_is_first(engine: Engine) -> None:
    def claim(mode: str) -> bool:
        try:
            require_mode(engine, mode)  # type: ignore[arg-type]
        except EightbellsError:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(claim, ("paper", "live"))) == [False, True]


def test_the_mode_is_never_changed(engine: Engine) -> None:
    require_mode(engine, "paper")
    with pytest.raises(DBAPIError), engine.begin() as connection:
        connection.execute(text("UPDATE mode SET mode = 'live'"))

"""The books are in one quote asset: a decision or a purchase in another cannot be inserted, nor the asset changed."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, IntegrityError

from eightbells.database.engine import open_database, require_quote_asset
from eightbells.errors import EightbellsError
from eightbells.trading import outbox
from eightbells.trading.sizing import Sized
from tests import books
from tests.conftest import Configure
from tests.klines import FIRST, after, one, rows_of
from tests.surroundings import ROOT

MIGRATION = (ROOT / "sql/0007_quote_asset.sql").read_text()
CLAIM = MIGRATION[MIGRATION.index("INSERT INTO quote") : MIGRATION.index("-- What is quoted")]


def requote(engine: Engine, asset: str) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE symbols SET quote_asset = :asset"), {"asset": asset})


def test_the_first_quote_asset_keeps_the_database(configure: Configure, database: URL) -> None:
    for _ in range(2):
        with open_database(configure(database=database)):
            pass
    other = configure(database=database, quote_asset="usdc", symbols=["BTCUSDC"])
    with (
        pytest.raises(EightbellsError, match=r"in USDT, but quote_asset is USDC: .*NAME=eightbells_usdc"),
        open_database(other),
    ):
        pass


def test_the_quote_asset_is_never_changed(engine: Engine) -> None:
    require_quote_asset(engine, "USDT", claim=False)
    assert rows_of(engine, "SELECT asset FROM quote") == []
    require_quote_asset(engine, "USDT")
    with pytest.raises(DBAPIError), engine.begin() as connection:
        connection.execute(text("UPDATE quote SET asset = 'BTC'"))


def test_no_decision_on_a_symbol_of_another_quote_can_be_inserted(decided: Engine) -> None:
    require_quote_asset(decided, "USDT")
    requote(decided, "FDUSD")
    validation = one(decided, "SELECT max(validation_id) FROM evaluations")
    with decided.begin() as connection:
        made = books.evaluation(connection, validation, strategy="another")
    refused = pytest.raises(IntegrityError, match="BTCUSDT is quoted in FDUSD, the books are in USDT")
    with refused, decided.begin() as connection:
        books.signal(connection, made)


def test_no_purchase_of_a_symbol_of_another_quote_can_be_inserted_and_a_sale_can(
    decided: Engine, decision: int
) -> None:
    require_quote_asset(decided, "USDT")
    requote(decided, "FDUSD")
    with pytest.raises(IntegrityError, match="is quoted in FDUSD"):
        books.planned_order(decided, decision)
    sale = Sized("exit", "SELL", books.Decimal("0.5"), books.Decimal(100))
    with decided.begin() as connection:
        identity = ("trend", "1", "BTCUSDT", FIRST)
        assert outbox.plan(connection, outbox.Intent(books.ACCOUNT, decision, identity, sale, after(1), None))


@pytest.mark.parametrize("quote", ["USDT", "USDC"])
def test_a_database_that_has_traded_keeps_the_asset_it_traded_in(
    decided: Engine, decision: int, quote: str
) -> None:
    books.planned_order(decided, decision)
    requote(decided, quote)
    with decided.begin() as connection:
        connection.execute(text(CLAIM))
    assert one(decided, "SELECT asset FROM quote") == quote

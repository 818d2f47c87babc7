"""Migrations: in order, all or none, twice without a change."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, text

from eightbells.database.embedded import EmbeddedServer
from eightbells.database.engine import connect
from eightbells.database.migrations import current, migrate, newest, require_current
from eightbells.errors import EightbellsError
from tests.klines import counts, one
from tests.surroundings import ROOT

EVERYTHING = """
SELECT
    string_agg(concat_ws(' ', table_name, column_name, data_type, is_nullable), ', ' ORDER BY table_name, column_name)
FROM information_schema.columns WHERE table_schema = 'public'
"""


@pytest.fixture
def empty(postgres: EmbeddedServer) -> Iterator[Engine]:
    postgres.ensure_database("test_empty", fresh=True)
    engine = connect(postgres.url("test_empty"))
    yield engine
    engine.dispose()
    postgres.drop_database("test_empty")


def test_a_fresh_database_is_brought_to_the_newest_migration(empty: Engine) -> None:
    assert current(empty) is None
    numbers = sorted(file.name[:4] for file in (ROOT / "sql").glob("0*.sql"))
    assert migrate(empty) == current(empty) == newest() == numbers[-1]
    require_current(empty)


def test_migrating_twice_changes_nothing(engine: Engine) -> None:
    before = one(engine, EVERYTHING), counts(engine)
    migrate(engine)
    assert (one(engine, EVERYTHING), counts(engine)) == before


def test_two_that_migrate_at_once_do_not_meet(empty: Engine) -> None:
    with ThreadPoolExecutor(2) as pool:
        assert set(pool.map(lambda _: migrate(empty), range(2))) == {newest()}
    require_current(empty)


def test_a_database_without_migrations_is_refused_with_what_to_do(empty: Engine) -> None:
    with pytest.raises(EightbellsError, match=r"at migration none, .*run `eightbells migrate`"):
        require_current(empty)


def test_a_database_of_a_later_version_is_refused(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(EightbellsError, match="at migration 9999"):
        require_current(engine)


def test_every_file_of_sql_has_its_migration() -> None:
    files = {file.stem for file in (ROOT / "sql").glob("0*.sql")}
    assert files == {file.stem for file in (ROOT / "eightbells/database/versions").glob("0*.py")}

"""Backup and restore: a database that is lost comes back whole, the exchange agrees, and nothing is overwritten."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.engine import URL, make_url

from cli.backup import Tools, back_up, restore
from cli.instance_lock import instance_lock
from eightbells.candles import grid
from eightbells.database import embedded
from eightbells.database.address import variables
from eightbells.database.engine import connect
from eightbells.errors import EightbellsError
from eightbells.exchange.gateway import open_gateway
from eightbells.settings import Settings
from eightbells.trading.acceptance import accept_drift
from tests.conftest import Configure
from tests.exchange import LAST, STEP, SYMBOLS, Simulator
from tests.flows.conftest import strategy
from tests.klines import counts, one, rows_of
from tests.surroundings import ROOT

FLEETING = frozenset({"budget_grants", "budgets", "metric_totals"})


@pytest.fixture
def settings(
    market: Simulator,
    configure: Configure,
    database: URL,
    prefect_server: str,
    postgres: embedded.EmbeddedServer,
) -> Iterator[Settings]:
    """A watch on five symbols; what restoring leaves beside it is removed."""
    market.begin()
    yield configure(
        market,
        database,
        symbols=SYMBOLS,
        budgets__klines="exchange",
        candles__settle_seconds="0",
        trading__order_type="market",
        strategies=[strategy()],
    )
    for name in databases(postgres):
        if "_before_" in name:
            postgres.drop_database(name)


def databases(postgres: embedded.EmbeddedServer) -> list[str]:
    engine = connect(postgres.url("postgres"))
    try:
        return [name for (name,) in rows_of(engine, "SELECT datname FROM pg_database")]
    finally:
        engine.dispose()


async def cycle(opened: int = LAST) -> Any:
    from flows.four_hour_cycle import four_hour_cycle

    return await four_hour_cycle(candle=grid.to_time(opened))


async def reconciled() -> Any:
    from flows.reconcile import reconcile

    return await reconcile()


async def test_a_lost_database_comes_back_whole_and_agrees_with_the_exchange(
    settings: Settings,
    engine: Engine,
    database: URL,
    postgres: embedded.EmbeddedServer,
    market: Simulator,
    tmp_path: Path,
) -> None:
    await cycle()
    file = tmp_path / "watch.dump"
    facts = back_up(settings, file)
    assert facts["bytes"] == file.stat().st_size > 10_000
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    before = counts(engine, without=FLEETING)
    stories = rows_of(engine, "SELECT * FROM order_events ORDER BY id")
    engine.dispose()
    postgres.drop_database(str(database.database))

    assert restore(settings, file)["old_database"] is None
    assert counts(engine, without=FLEETING) == before
    assert rows_of(engine, "SELECT * FROM order_events ORDER BY id") == stories
    assert len(market.orders()) == len(SYMBOLS)
    assert rows_of(engine, "SELECT is_on, reason FROM switches") == [
        (False, "restored from watch.dump: reconcile, then resume")
    ]
    found = await reconciled()
    assert (found.orders, found.drifts) == (len(SYMBOLS), [])
    # constraints and triggers are there again
    with pytest.raises(Exception, match="never changed or removed"), engine.begin() as connection:
        connection.execute(text("DELETE FROM candles"))


async def test_orders_that_are_younger_than_the_backup_are_found_and_not_placed_again(
    settings: Settings, engine: Engine, market: Simulator, tmp_path: Path
) -> None:
    file = tmp_path / "watch.dump"
    await cycle(LAST - STEP)
    back_up(settings, file)
    await cycle()
    placed = market.orders()
    assert placed
    restore(settings, file)
    engine.dispose()
    report = await cycle()
    assert report.orders == []
    assert market.orders() == placed
    found = await reconciled()
    assert {drift.symbol for drift in found.drifts} == set(SYMBOLS)
    market.leap(LAST + 2 * STEP)  # until the candle is over its decision could be taken again
    async with open_gateway(settings, engine) as gateway:
        for drift in found.drifts:
            assert drift.id is not None
            await accept_drift(settings, engine, gateway, drift.id, "bought after the backup", "the owner")
    found = await reconciled()
    assert (found.drifts, found.accepted) == ([], len(SYMBOLS))


def test_the_old_database_is_kept_beside_the_restored_one(
    settings: Settings, engine: Engine, postgres: embedded.EmbeddedServer, tmp_path: Path
) -> None:
    back_up(settings, tmp_path / "empty.dump")
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO budgets VALUES ('after the backup')"))
    kept = restore(settings, tmp_path / "empty.dump")["old_database"]
    assert one(engine, "SELECT count(*) FROM budgets") == 0
    old = connect(postgres.url(str(kept)))
    assert one(old, "SELECT name FROM budgets") == "after the backup"
    old.dispose()


@pytest.mark.parametrize("content", [b"not a dump", b"", None], ids=["garbage", "empty", "missing"])
def test_a_file_that_is_no_backup_changes_nothing(
    settings: Settings,
    engine: Engine,
    postgres: embedded.EmbeddedServer,
    tmp_path: Path,
    content: bytes | None,
) -> None:
    file = tmp_path / "file"
    if content is not None:
        file.write_bytes(content)
    before = databases(postgres)
    with pytest.raises(EightbellsError, match=r"pg_restore failed|there is no file"):
        restore(settings, file)
    assert databases(postgres) == before
    assert one(engine, "SELECT is_on FROM switches") is True


def test_a_dump_of_another_program_is_refused(
    settings: Settings,
    configure: Configure,
    postgres: embedded.EmbeddedServer,
    engine: Engine,
    tmp_path: Path,
) -> None:
    postgres.ensure_database("of_another", fresh=True)
    other = configure(database=postgres.url("of_another"))
    back_up(other, tmp_path / "other.dump")
    before = databases(postgres)
    with pytest.raises(EightbellsError, match="no backup of Eightbells"):
        restore(settings, tmp_path / "other.dump")
    assert databases(postgres) == before
    assert one(engine, "SELECT is_on FROM switches") is True


def test_a_backup_replaces_a_file_only_when_told_and_leaves_no_half_one(
    settings: Settings, configure: Configure, tmp_path: Path
) -> None:
    file = tmp_path / "watch.dump"
    file.write_text("the one of yesterday")
    with pytest.raises(EightbellsError, match="is there already"):
        back_up(settings, file)
    lost = configure(database=make_url(settings.database_url.get_secret_value()).set(database="nowhere"))
    with pytest.raises(EightbellsError, match="no database at"):
        back_up(lost, file, overwrite=True)
    assert [it.name for it in tmp_path.iterdir()] == ["watch.dump"]
    assert file.read_text() == "the one of yesterday"
    back_up(settings, file, overwrite=True)
    assert file.read_bytes().startswith(b"PGDMP")
    with pytest.raises(EightbellsError, match="cannot be written"):
        back_up(settings, tmp_path / "no/folder/watch.dump")


def test_nothing_is_restored_while_up_runs(settings: Settings, configure: Configure, tmp_path: Path) -> None:
    back_up(settings, tmp_path / "watch.dump")
    elsewhere = configure(database__directory=str(tmp_path / "data"))
    with instance_lock(elsewhere.directory), pytest.raises(EightbellsError, match="stop it first"):
        restore(elsewhere, tmp_path / "watch.dump")


def test_a_password_is_in_no_command_line() -> None:
    url = make_url("postgresql://me:hidden@db.example:5433/eightbells?sslmode=require")
    assert variables(url) == {
        "PGHOST": "db.example",
        "PGPORT": "5433",
        "PGUSER": "me",
        "PGDATABASE": "eightbells",
        "PGPASSWORD": "hidden",
        "PGSSLMODE": "require",
    }


def test_a_password_of_any_signs_backs_up_and_is_in_no_failure(
    settings: Settings, configure: Configure, database: URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "hush %hush@hush/'\"hush"
    odd = database.set(password=secret)
    back_up(configure(database=odd), tmp_path / "odd.dump")
    for lost in (odd.set(database="nowhere"), odd.update_query_dict({"host": "/nowhere"})):
        with pytest.raises(EightbellsError) as raised:
            back_up(configure(database=lost), tmp_path / "lost.dump")
        assert "hush" not in str(raised.value)
        with pytest.raises(EightbellsError) as raised:
            Tools(lost, None).run("pg_dump")
        assert "hush" not in str(raised.value)


def test_the_commands_back_up_and_restore_the_embedded_database(
    configure: Configure, postgres: embedded.EmbeddedServer, tmp_path: Path
) -> None:
    configure(database__name="kept_by_command")
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}

    def eightbells(*arguments: str) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-m", "cli", *arguments],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout)) if "--json" in arguments else {}

    eightbells("migrate")
    file = str(tmp_path / "kept.dump")
    assert eightbells("backup", file, "--json")["file"] == file
    postgres.drop_database("kept_by_command")
    assert eightbells("restore", file, "--json")["migration"]
    assert eightbells("status", "--json")["trading"] is False
    postgres.drop_database("kept_by_command")

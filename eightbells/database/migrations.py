"""Migrations: the numbered files of sql/, applied in order by Alembic, each in one transaction."""

from __future__ import annotations

from alembic import command, op
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, text

from eightbells.database import locks
from eightbells.errors import EightbellsError
from eightbells.settings import PROJECT

SQL = PROJECT / "sql"


def apply(file: str) -> None:
    """Run one file of sql/ in the migration's transaction."""
    connection = op.get_bind().connection.driver_connection
    connection.execute((SQL / file).read_text(encoding="utf-8"))  # type: ignore[union-attr]


def migrate(engine: Engine, to: str = "head") -> str:
    """Bring the database to a migration, by default the newest; returns its number. Doing it twice changes nothing."""
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": locks.MIGRATIONS})
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, to)
    return newest() if to == "head" else to


def newest() -> str:
    """The number of the newest migration in sql/."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


def current(engine: Engine) -> str | None:
    """The number of the migration the database has reached."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def require_current(engine: Engine) -> None:
    """Raises EightbellsError where the database lacks a migration, or has one that this code does not know."""
    found, expected = current(engine), newest()
    if found != expected:
        raise EightbellsError(
            f"the database is at migration {found or 'none'}, this version needs {expected}: run `eightbells migrate`"
        )


def _config() -> Config:
    config = Config()
    here = str(PROJECT / "eightbells/database").replace("%", "%%")  # Alembic reads a % as its own
    config.set_main_option("script_location", f"{here}/scripts")
    config.set_main_option("version_locations", f"{here}/versions")
    config.set_main_option("path_separator", "newline")
    return config

"""The way to Postgres: an engine for `DATABASE_URL`, or for the embedded server where none is set."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from eightbells.database import address, embedded
from eightbells.errors import EightbellsError, WrongDatabase
from eightbells.settings import Mode, Settings

OLDEST_POSTGRES = 150000


def connect(url: str | URL) -> Engine:
    """An engine that has proven that a Postgres new enough answers there. Times come back in UTC.

    Raises:
        EightbellsError: the address cannot be read, nothing answers, or the server is too old.
    """
    url = address.read(url)
    usual = {"connect_timeout": "10", "application_name": "eightbells"} | address.parameters(url)
    options = f"{usual.get('options', '')} -c timezone=UTC".strip()
    engine = create_engine(
        url.set(drivername="postgresql+psycopg"),
        pool_pre_ping=True,
        pool_size=4,
        max_overflow=16,
        connect_args={**usual, "options": options},
    )
    try:
        with engine.connect() as connection:
            version = connection.connection.driver_connection.info.server_version  # type: ignore[union-attr]
    except (SQLAlchemyError, UnicodeError) as error:
        engine.dispose()
        raise EightbellsError(f"no database at {address.told(url, error)}") from None
    if version < OLDEST_POSTGRES:
        engine.dispose()
        raise EightbellsError(f"Postgres 15 or newer is needed, this is {version // 10000}")
    return engine


@contextmanager
def open_database(settings: Settings) -> Iterator[Engine]:
    """The engine of this installation; an embedded server runs at least as long as the context lasts.

    Raises:
        EightbellsError: the database is not there, lacks the migrations, or belongs to another mode.
    """
    from eightbells.database.migrations import require_current

    with database_url(settings) as url:
        engine = connect(url)
        try:
            require_current(engine)
            require_mode(engine, settings.mode)
            require_quote_asset(engine, settings.quote_asset)
            yield engine
        finally:
            engine.dispose()


@contextmanager
def database_url(settings: Settings) -> Iterator[URL]:
    """Where the database is: `DATABASE_URL`, or the embedded server, started if need be."""
    if given := settings.database_url.get_secret_value():
        yield address.read(given)
        return
    with embedded.server(settings.directory) as server:
        server.ensure_database(settings.database.name)
        yield server.url(settings.database.name)


def require_mode(engine: Engine, mode: Mode, *, claim: bool = True) -> None:
    """Let a database belong to the mode that used it first: its candles prove nothing to another exchange.

    Args:
        claim: whether one that nobody has used belongs to this mode from now on.

    Raises:
        WrongDatabase: it belongs to another one.
    """
    with engine.begin() as connection:
        kept = connection.execute(text("SELECT mode FROM mode")).scalar_one_or_none()
        if kept is None and claim:
            connection.execute(
                text("INSERT INTO mode (mode) VALUES (:mode) ON CONFLICT DO NOTHING"), {"mode": mode}
            )
            kept = connection.execute(text("SELECT mode FROM mode")).scalar_one()
    if kept not in (mode, None):
        raise WrongDatabase(
            f"the database holds the candles and books of mode '{kept}', not of '{mode}'",
            f"give this mode one of its own, EIGHTBELLS_DATABASE__NAME=eightbells_{mode} (or another DATABASE_URL)",
        )


def require_quote_asset(engine: Engine, asset: str, *, claim: bool = True) -> None:
    """Let a database keep the quote asset that used it first: its books and its equity are amounts of that asset.

    Args:
        claim: whether a database that has none takes this one.

    Raises:
        WrongDatabase: it has another one.
    """
    with engine.begin() as connection:
        if claim:
            connection.execute(
                text("INSERT INTO quote (asset) VALUES (:asset) ON CONFLICT DO NOTHING"), {"asset": asset}
            )
        kept = connection.execute(text("SELECT asset FROM quote")).scalar_one_or_none()
    if kept not in (asset, None):
        raise WrongDatabase(
            f"the books of this database are in {kept}, but quote_asset is {asset}",
            f"set quote_asset to {kept}, or use a new database, "
            f"EIGHTBELLS_DATABASE__NAME=eightbells_{asset.lower()} (or another DATABASE_URL)",
        )

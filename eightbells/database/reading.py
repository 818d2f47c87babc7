"""The database of the settings for reading only: nothing is created, claimed or changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine
from sqlalchemy.engine import URL

from eightbells.database import address, embedded
from eightbells.database.engine import connect, require_mode, require_quote_asset
from eightbells.database.migrations import require_current
from eightbells.errors import EightbellsError
from eightbells.settings import Settings


@contextmanager
def open_read_only(settings: Settings) -> Iterator[Engine]:
    """An engine whose transactions can only read. An embedded server runs at least as long as the context lasts.

    Raises:
        EightbellsError: there is no database, it lacks migrations, or it belongs to another mode or quote asset.
    """
    with _place(settings) as url:
        engine = connect(url)
        try:
            require_current(engine)
            require_mode(engine, settings.mode, claim=False)
            require_quote_asset(engine, settings.quote_asset, claim=False)
            yield engine.execution_options(postgresql_readonly=True, isolation_level="REPEATABLE READ")
        finally:
            engine.dispose()


@contextmanager
def _place(settings: Settings) -> Iterator[URL]:
    if given := settings.database_url.get_secret_value():
        yield address.read(given)
        return
    if not (settings.directory / "postgres" / "PG_VERSION").exists():
        raise EightbellsError(
            f"there is no database in {settings.directory}: set DATABASE_URL or EIGHTBELLS_DATABASE__DIRECTORY, or "
            "run `eightbells migrate`"
        )
    with embedded.server(settings.directory) as server:
        yield server.url(settings.database.name)

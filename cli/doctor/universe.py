"""Whether the rule of the universe finds as many symbols as it asks for, and the settings with those it has found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from cli.doctor.findings import Finding, ok, warn
from eightbells.database.engine import connect, database_url
from eightbells.errors import EightbellsError
from eightbells.settings import Settings
from eightbells.universe.members import newest_choice, resolved


def by_members(settings: Settings) -> Settings:
    """The settings as the cycle goes by them; where the database cannot be read, as they are."""
    if not settings.universe.top:
        return settings
    with suppress(EightbellsError, SQLAlchemyError), _connected(settings) as connection:
        return resolved(connection, settings)
    return settings


def look_at_universe(settings: Settings) -> Iterator[Finding]:
    """A line on the newest choice; none without a rule. A database that cannot be read is told elsewhere."""
    if not settings.universe.top:
        return
    with suppress(EightbellsError, SQLAlchemyError), _connected(settings) as connection:
        yield _of_choice(connection, settings)


def _of_choice(connection: Connection, settings: Settings) -> Finding:
    choice = newest_choice(connection, settings)
    if choice is None:
        return warn("universe", "nobody is chosen yet by this rule", "the next cycle chooses")
    words = f"{choice.found} of {choice.wanted} members found at {choice.chosen_at:%Y-%m-%d %H:%M} UTC"
    if choice.found < choice.wanted:
        remedy = "`eightbells universe` tells why symbols are left out; change [universe] in eightbells.toml"
        return warn("universe", words, remedy)
    return ok("universe", words)


@contextmanager
def _connected(settings: Settings) -> Iterator[Connection]:
    with database_url(settings) as url:
        engine = connect(url)
        try:
            with engine.connect() as connection:
                yield connection
        finally:
            engine.dispose()

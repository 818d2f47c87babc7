"""The database's address, as `DATABASE_URL` gives it, and what PostgreSQL's own programs and library make of it."""

from __future__ import annotations

import re

import psycopg
from sqlalchemy import make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError

from eightbells.addresses import hidden, shown, slip
from eightbells.errors import EightbellsError

_SCHEMES = ("postgresql", "postgres")  # a driver, as in postgresql+asyncpg, is of no interest
# Of other programs' addresses; a name besides these is not repeated, since it may be part of a password.
_OPTIONS_OF_OTHERS = {
    "schema",
    "pgbouncer",
    "connection_limit",
    "pool_timeout",
    "sslaccept",
    "ssl",
    "charset",
}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LAST_PORT = 65535


def read(address: str | URL) -> URL:
    """The address taken apart.

    Raises:
        EightbellsError: it is none of PostgreSQL, or not clear; the message holds no part of it that may be secret.
    """
    url = address if isinstance(address, URL) else _parsed(address)
    if unknown := set(url.query) - _options():
        names = ", ".join(sorted(unknown & _OPTIONS_OF_OTHERS)) or "of a name in its ?query"
        raise _refused(f"PostgreSQL has no option {names}: remove it")
    return url.set(drivername="postgresql")


def _parsed(address: str) -> URL:
    scheme = address.partition("://")[0].partition("+")[0]
    if scheme.startswith("jdbc:"):
        raise _refused("remove `jdbc:` from its beginning")
    if advice := slip(address):
        raise _refused(advice)
    if scheme not in _SCHEMES:
        raise _refused("it should begin with postgresql://")
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        raise _refused("it should look like postgresql://user:password@host:5432/name") from None
    if _CONTROL.search(f"{url.username}{url.password}{url.database}{url.host}"):
        raise _refused("it holds a control character")
    if ":" in (url.username or ""):
        raise _refused("write the : between user and password as it is, not as %3A")
    if url.port is not None and not 0 < url.port <= _LAST_PORT:
        raise _refused(f"a port is a number from 1 to {_LAST_PORT}")
    return url


def _refused(why: str) -> EightbellsError:
    return EightbellsError(f"DATABASE_URL cannot be read: {why}")


def _options() -> set[str]:
    return {option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults()}


def parameters(url: URL) -> dict[str, str]:
    """The address as psycopg takes it, in parts: no form in which a password could be misread, or shown."""
    address = url.set(drivername="postgresql+psycopg")
    _, found = address.get_dialect()().create_connect_args(address)
    return {name: str(value) for name, value in found.items()}


def variables(url: URL) -> dict[str, str]:
    """The address as libpq's programs take it from the environment, which unlike a command line nobody else sees."""
    given = parameters(url)
    names = {
        it.keyword.decode(): it.envvar.decode() for it in psycopg.pq.Conninfo.get_defaults() if it.envvar
    }
    return {names[name]: value for name, value in given.items() if name in names}


def told(url: URL, error: BaseException) -> str:
    """What a failed connection says, in a line without the password."""
    words = " ".join(str(getattr(error, "orig", None) or error).split())
    return f"{shown_url(url)}: {hidden(words, parameters(url).get('password', ''))[:300]}"


def shown_url(url: URL) -> str:
    """The address for people."""
    plain = url.set(drivername="postgresql", password=None, query={})
    sockets = parameters(url).get("host", "") if not url.host else ""
    return shown(plain.render_as_string(hide_password=False)) + (f" (at {sockets})" if sockets else "")

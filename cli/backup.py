"""`eightbells backup` and `restore`: the whole database in one file, by PostgreSQL's own pg_dump and pg_restore.

A restore never overwrites: the file is read into a new database, which then takes the place of the old one, and the old
one is kept beside it under another name.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from cli.instance_lock import lock_holder
from eightbells import metrics
from eightbells.addresses import hidden
from eightbells.database import embedded
from eightbells.database.address import parameters, read, told, variables
from eightbells.database.engine import connect
from eightbells.database.migrations import current, migrate
from eightbells.database.places import find_programs
from eightbells.errors import EightbellsError
from eightbells.settings import Settings
from eightbells.trading.switch import set_switch


@dataclass(frozen=True)
class Tools:
    """Where the database is, and the programs that dump and restore it."""

    url: URL
    programs: Path | None

    def run(self, program: str, *arguments: str, url: URL | None = None) -> None:
        """Run one of PostgreSQL's programs on the database, or on that of `url`.

        Raises:
            EightbellsError: it is not there, or fails; with its own last words.
        """
        address = variables(url or self.url)
        # the database alone stands in the command line, where everybody sees it: pg_restore wants it there
        command = [str(self._find(program)), f"--dbname={address.pop('PGDATABASE', '')}", *arguments]
        done = subprocess.run(
            command,
            env={**os.environ, **address},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            said = [line for line in done.stderr.splitlines() if line.strip()] or ["no word"]
            hint = (
                f"; install the {program} of the server's version"
                if "version mismatch" in done.stderr
                else ""
            )
            words = hidden(said[0], address.get("PGPASSWORD", ""))[:300]
            raise EightbellsError(f"{program} failed: {words}{hint}")

    def _find(self, program: str) -> Path:
        """The program of the server's version, since an older one refuses and a newer one's dumps may not fit.

        Without one, the oldest that is newer.
        """
        on_path = shutil.which(program)
        places = [self.programs / program] if self.programs is not None else []
        places += [Path(on_path)] if on_path else []
        found = {_major(place): place for place in reversed(places) if place.exists()}
        if not found:
            raise EightbellsError(f"{program} is not installed: it comes with PostgreSQL's client programs")
        newer = [major for major in sorted(found) if major >= self._server_major()]
        return found[newer[0] if newer else max(found)]

    def _server_major(self) -> int:
        with self._outside("postgres") as connection:
            return connection.info.server_version // 10000

    def administer(self, statement: sql.Composed | sql.SQL) -> int:
        """Run a statement from outside the database; returns how many rows it met."""
        with self._outside("postgres") as connection:
            return int(connection.execute(statement).rowcount)

    @contextmanager
    def _outside(self, database: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
        url = self.url.set(database=database)
        given: dict[str, Any] = parameters(url)
        try:
            with psycopg.connect(**given, autocommit=True) as connection:
                yield connection
        except psycopg.Error as error:
            raise EightbellsError(f"the database server at {told(url, error)}") from None


@contextmanager
def open_tools(settings: Settings) -> Iterator[Tools]:
    """The installation's database server and its programs; the database itself may be lost."""
    try:
        programs: Path | None = find_programs(settings.directory)
    except EightbellsError:  # no embedded server for this machine
        programs = None
    if address := settings.database_url.get_secret_value():
        yield Tools(read(address), programs)
        return
    with embedded.server(settings.directory) as server:
        yield Tools(server.url(settings.database.name), server.programs)


def back_up(settings: Settings, file: Path, *, overwrite: bool = False) -> dict[str, object]:
    """Dump the database, as it is at one moment, while everything goes on; returns facts about the file.

    Raises:
        EightbellsError: the file is there already or cannot be written, or the dump fails; no half file is left.
    """
    if file.exists() and not overwrite:
        raise EightbellsError(f"{file} is there already: choose another name, or --overwrite")
    part = file.with_name(f"{file.name}.part")
    try:
        part.unlink(missing_ok=True)
        part.touch(mode=0o600)
    except OSError as error:
        raise EightbellsError(f"{file} cannot be written: {error.strerror}") from None
    try:
        with open_tools(settings) as tools:
            engine = connect(tools.url)
            reached = current(engine)
            engine.dispose()
            tools.run("pg_dump", "--format=custom", "--no-owner", "--no-acl", f"--file={part}")
            with open(part, "rb") as written:
                os.fsync(written.fileno())
            part.replace(file)
            _note_backup(tools.url)
    finally:
        part.unlink(missing_ok=True)
    return {"file": str(file), "bytes": file.stat().st_size, "migration": reached}


def _note_backup(url: URL) -> None:
    """Let Prometheus know. The backup is written, whatever becomes of this."""
    with suppress(EightbellsError, SQLAlchemyError):
        engine = connect(url)
        try:
            metrics.LAST_BACKUP.set_to_current_time()
            metrics.flush(engine)
        finally:
            engine.dispose()


def restore(settings: Settings, file: Path) -> dict[str, object]:
    """Put a dump in the database's place and switch trading off; returns facts, the name of the old database too.

    Raises:
        EightbellsError: `up` runs, the file is none of ours, or it cannot be restored; nothing has changed then.
    """
    if lock_holder(settings.directory) is not None:
        raise EightbellsError(
            "`eightbells up` runs: stop it first, so that nothing is written during the restore"
        )
    if not file.is_file():
        raise EightbellsError(f"there is no file {file}")
    with open_tools(settings) as tools:
        name = str(tools.url.database)
        fresh = f"{name}_restoring"
        tools.administer(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(fresh)))
        tools.administer(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(fresh)))
        try:
            reached = _fill(tools, fresh, file)
            kept = _swap(tools, name, fresh)
        except BaseException:
            with suppress(EightbellsError):
                tools.administer(
                    sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(fresh))
                )
            raise
    return {"file": str(file), "migration": reached, "old_database": kept}


def _fill(tools: Tools, fresh: str, file: Path) -> str:
    """Read the dump into the new database, bring it to our migrations, and switch trading off in it."""
    url = tools.url.set(database=fresh)
    tools.run(
        "pg_restore", "--no-owner", "--no-acl", "--exit-on-error", "--single-transaction", str(file), url=url
    )
    engine = connect(url)
    try:
        if current(engine) is None:
            raise EightbellsError(f"{file} is no backup of Eightbells")
        reached = migrate(engine)
        # what was ordered since the backup is not in these books: nobody may trade on them unseen
        set_switch(engine, False, f"restored from {file.name}: reconcile, then resume")
        return reached
    finally:
        engine.dispose()


def _swap(tools: Tools, name: str, fresh: str) -> str | None:
    """Let the new database take the old one's name; returns the name that the old one has now."""
    exists = tools.administer(sql.SQL("SELECT FROM pg_database WHERE datname = {}").format(sql.Literal(name)))
    kept = f"{name[:40]}_before_{datetime.now(UTC):%Y%m%d_%H%M%S}" if exists else None
    if kept:
        _rename(tools, name, kept)
    try:
        _rename(tools, fresh, name)
    except EightbellsError:
        if kept:
            _rename(tools, kept, name)
        raise
    return kept


def _rename(tools: Tools, old: str, new: str) -> None:
    tools.administer(
        sql.SQL("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {}").format(
            sql.Literal(old)
        )
    )
    tools.administer(
        sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(old), sql.Identifier(new))
    )


def _major(program: Path) -> int:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"(\d+)(?:\.\d+|devel|beta|rc)", said)
    return int(found[1]) if found else 0

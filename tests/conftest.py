"""One Postgres and one simulator for all tests; a fresh database and an exchange put back to its start for each."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.engine import URL

from eightbells.database import embedded
from eightbells.database.engine import connect
from eightbells.database.migrations import migrate
from eightbells.settings import Settings, load_settings
from tests import exchange, surroundings
from tests import prefect_server as prefect_server_of_tests
from tests.exchange import Simulator

# before anything reads its settings
surroundings.forget_the_developer()
FOLDER = surroundings.make_folder()
TEMPLATE = "template_eightbells"
SLOWEST = (
    "tests/control_room/test_up.py",
    "tests/browser/",
    "tests/docs/test_readme.py",
    "tests/cli/",
    "tests/control_room/test_outage.py",
    "tests/crash/test_crashes.py",
    "tests/stream/",
    "tests/gateway/",
    "tests/flows/",
    "tests/crash/",
    "tests/deployment/",
    "tests/control_room/",
)
Configure = Callable[..., Settings]
_numbers = itertools.count(1)


# how long an example takes says something of the machine, and of what else it does
hypothesis.settings.register_profile("eightbells", deadline=None)
hypothesis.settings.load_profile("eightbells")


def pytest_configure(config: pytest.Config) -> None:
    """Warnings are errors, but for what libraries say of each other when they are imported."""
    for message in (
        "module 'sre_.*' is deprecated",  # great_expectations
        "websockets.legacy is deprecated",  # python-binance
        "websockets.WebSocketClientProtocol is deprecated",
    ):
        config.addinivalue_line("filterwarnings", f"ignore:{message}:DeprecationWarning")
    # Prefect's client leaves sockets to the garbage collector, which tells of them during any later test;
    # tests/gateway/test_no_socket_stays.py counts our own. python-binance's client makes an event loop where
    # none runs, and never closes it; we make none except by asyncio.run, which closes it.
    for what in ("<socket", "transport", "event loop"):
        config.addinivalue_line("filterwarnings", f"ignore:unclosed {what}:ResourceWarning")
    # a thread that another test's Prefect client has left draws numbers while hypothesis does
    config.addinivalue_line("filterwarnings", "ignore:Do not use the .random. module inside strategies")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest first: who runs tests side by side is then idle least at the end."""
    items.sort(
        key=lambda item: next((at for at, name in enumerate(SLOWEST) if name in item.nodeid), len(SLOWEST))
    )


def pytest_unconfigure() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)


@pytest.fixture(scope="session")
def folder() -> Path:
    """Of this run alone; Postgres' own user may enter it."""
    return FOLDER


@pytest.fixture(scope="session")
def market_data() -> Path:
    """The folder of real market data; skips where there is none."""
    if not surroundings.MARKET_DATA:
        pytest.skip("EIGHTBELLS_MARKET_DATA names no folder of real market data")
    return Path(surroundings.MARKET_DATA)


@pytest.fixture(scope="session")
def postgres(folder: Path) -> Iterator[embedded.EmbeddedServer]:
    """A server for the whole run. What it holds need not outlive it, so it never waits for the disk."""
    with embedded.server(folder) as server:
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            administer(server, f"ALTER SYSTEM SET {setting} = off")
        administer(server, "SELECT pg_reload_conf()")
        yield server


def administer(server: embedded.EmbeddedServer, statement: str) -> None:
    engine = connect(server.url("postgres")).execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


@pytest.fixture(scope="session")
def template(postgres: embedded.EmbeddedServer) -> str:
    """A migrated, empty database to clone."""
    postgres.ensure_database(TEMPLATE)
    engine = connect(postgres.url(TEMPLATE))
    migrate(engine)
    engine.dispose()
    return TEMPLATE


@pytest.fixture
def clone(postgres: embedded.EmbeddedServer, template: str) -> Iterator[Callable[[str], URL]]:
    """Makes databases out of the template, or of another one that nobody is connected to; they go with the test."""
    made = []

    def make(of: str = template) -> URL:
        name = f"test_{next(_numbers)}"
        administer(postgres, f"CREATE DATABASE {name} TEMPLATE {of} STRATEGY FILE_COPY")
        made.append(name)
        return postgres.url(name)

    yield make
    for name in made:
        postgres.drop_database(name)


@pytest.fixture
def database(clone: Callable[[], URL]) -> URL:
    """The address of a fresh, migrated database."""
    return clone()


@pytest.fixture
def engine(database: URL) -> Iterator[Engine]:
    engine = connect(database)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def made_up_market() -> Iterator[Simulator]:
    with exchange.running("--generate", "5") as simulator:
        yield simulator


@pytest.fixture
def simulator(made_up_market: Simulator) -> Simulator:
    """An exchange with made-up candles, as if just started: a candle has closed 3.5 seconds ago."""
    made_up_market.begin()
    return made_up_market


@pytest.fixture(scope="session")
def market() -> Iterator[Simulator]:
    """An exchange for those who keep an installation of their own at it: its clock and its orders are theirs."""
    with exchange.running("--generate", "5") as simulator:
        yield simulator


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Configure:
    """Sets the environment of this process and its children, as a user would; returns the settings it makes.

    Names are those of the variables without their prefix: `configure(trading__order_type="market")`.
    """
    monkeypatch.delenv("EIGHTBELLS_MARKET_DATA", raising=False)
    monkeypatch.setenv("EIGHTBELLS_DATABASE__DIRECTORY", str(folder))

    def set_environment(at: Simulator | None = None, database: URL | None = None, **given: Any) -> Settings:
        if at is not None:
            given = {"exchange__rest_url": f"{at.url}/api", **given}
        if database is not None:
            monkeypatch.setenv("DATABASE_URL", database.render_as_string(hide_password=False))
        for name, value in given.items():
            shown = value if isinstance(value, str) else json.dumps(value)
            monkeypatch.setenv(f"EIGHTBELLS_{name.upper()}", shown)
        return load_settings()

    return set_environment


@pytest.fixture
def settings(configure: Configure) -> Settings:
    """The settings as they are installed."""
    return configure()


@pytest.fixture(scope="session")
def prefect_server(postgres: embedded.EmbeddedServer, folder: Path) -> Iterator[str]:
    """The address of a Prefect API for the whole run, which records what becomes of each task run.

    There is one only: Prefect's service that sends events keeps to the server that it met first.
    """
    from prefect import settings

    with prefect_server_of_tests.running(postgres, folder / "logs") as api:
        wanted = {settings.PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None, settings.PREFECT_API_URL: api}
        with settings.temporary_settings(wanted):
            yield api

"""Our own Prefect server, if no other is given: on the embedded Postgres, on loopback, without telemetry."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from urllib.parse import quote

from cli.instance_lock import lock_holder
from cli.prefect_api import USUAL, USUAL_PORT, request
from cli.processes import Child, Processes, free_port, is_free, python
from cli.supervisor import Part
from eightbells.addresses import shown
from eightbells.database import embedded
from eightbells.errors import EightbellsError
from eightbells.proxies import open_url
from eightbells.settings import Settings

_LAST_PORT = 65535
_READY_SECONDS = 90.0


def prepare_environment(settings: Settings) -> None:
    """Settings of Prefect for this process and all it starts. To be called before Prefect is imported."""
    for name, value in usual(settings).items():
        os.environ.setdefault(name, value)


def usual(settings: Settings) -> dict[str, str]:
    """What Prefect's settings are here, where the environment does not say otherwise."""
    return {
        "PREFECT_HOME": str(settings.directory / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_CLI_PROMPT": "false",
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        "PREFECT_LOGGING_LEVEL": "INFO",
    }


def start(
    processes: Processes, port: int, database: embedded.EmbeddedServer | None, name: str = "prefect"
) -> Child:
    """Start the server; `wait_ready` waits for it. Args as those of `part`."""
    server = part(port, database, name)
    return processes.start(server.name, server.command, server.environment)


def part(port: int, database: embedded.EmbeddedServer | None, name: str = "prefect") -> Part:
    """The server as a program to run, and from now on the one that this process and its children ask.

    Args:
        database: where its own database is kept, under `name`; without one it uses SQLite in the data folder.
    """
    # the flow `housekeeping` prunes runs; what an interrupted pruning left behind, the server finds
    environment = {"PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,orphans"}
    if database is not None:
        database.ensure_database(name)
        environment["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = (
            f"postgresql+asyncpg://postgres:@/{name}?host={quote(str(database.socket))}"
        )
    os.environ["PREFECT_API_URL"] = f"http://127.0.0.1:{port}/api"
    command = python("-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port))
    return Part("prefect-server", command, environment)


def wait_ready(server: Child) -> None:
    server.wait_until(lambda: answers(os.environ["PREFECT_API_URL"]), _READY_SECONDS)


def answers(url: str) -> bool:
    """Whether a Prefect API answers there."""
    try:
        with open_url(request(url, "/health"), timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, HTTPException):
        return False


def choose_port(wanted: int | None) -> int:
    """The wanted port, or the usual one, or where that is taken any free one.

    Raises:
        EightbellsError: the port that was asked for is taken, or there is none of that number.
    """
    if wanted is None:
        return USUAL_PORT if is_free(USUAL_PORT) else free_port()
    if not 0 <= wanted <= _LAST_PORT:
        raise EightbellsError(f"there is no port {wanted}: the last one is {_LAST_PORT}")
    if wanted and not is_free(wanted):
        raise EightbellsError(f"port {wanted} is taken: choose another with --port")
    return wanted or free_port()


@contextmanager
def running(settings: Settings, meanwhile: Callable[[], None]) -> Iterator[None]:
    """A Prefect API for the flows of this process.

    It is the one that PREFECT_API_URL names, or that of the `eightbells up` that runs, or one on the usual port, or
    else one of our own meanwhile.

    Args:
        meanwhile: what to do while a server of our own starts.

    Raises:
        EightbellsError: PREFECT_API_URL is set and nothing answers there.
    """
    prepare_environment(settings)
    if given := os.environ.get("PREFECT_API_URL"):
        if not answers(given):
            raise EightbellsError(f"no Prefect server answers at {shown(given)} (PREFECT_API_URL)")
        yield
        return
    up = lock_holder(settings.directory)
    for found in (up.prefect_api if up else "", USUAL):
        if found and answers(found):
            os.environ["PREFECT_API_URL"] = found
            yield
            return
    with embedded.server(settings.directory) as database, Processes(settings.directory / "logs") as processes:
        server = start(processes, free_port(), database)
        meanwhile()
        wait_ready(server)
        yield

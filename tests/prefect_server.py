"""A Prefect server for tests, on their Postgres: it records runs, acts on events, and plans and tidies up nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from cli.prefect_server import answers
from cli.processes import Processes, free_port, python
from eightbells.database.embedded import EmbeddedServer

DATABASE = "prefect_of_tests"
_STARTS_WITHIN = 90.0
_RECORDS_ONLY = {
    "PREFECT_UI_ENABLED": "false",
    "PREFECT__SERVER_EPHEMERAL": "1",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_ENABLED": "true",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_FLUSH_INTERVAL": "0.5",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_ENABLED": "true",
    "PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED": "true",
}


@contextmanager
def running(postgres: EmbeddedServer, logs: Path) -> Iterator[str]:
    """The address of its API."""
    postgres.ensure_database(DATABASE)
    url = f"postgresql+asyncpg://postgres:@/{DATABASE}?host={quote(str(postgres.socket))}"
    port = free_port()
    application = ("--factory", "prefect.server.api.server:create_app", "--log-level", "error")
    with Processes(logs) as processes:
        server = processes.start(
            "prefect",
            python("-m", "uvicorn", *application, "--host", "127.0.0.1", "--port", str(port)),
            {**_RECORDS_ONLY, "PREFECT_SERVER_DATABASE_CONNECTION_URL": url},
        )
        api = f"http://127.0.0.1:{port}/api"
        server.wait_until(lambda: answers(api), _STARTS_WITHIN)
        yield api
    postgres.drop_database(DATABASE)

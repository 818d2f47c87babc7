"""A Prefect server for tests, on their Postgres: it records runs, acts on events, and plans and tidies up nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from cli.prefect_server import answers
from cli.processes import Processes, free_port, python
from eightbells.database.embedded import EmbeddedServer

DATABASE = "prefect_of_tests"
_STARTS_WITHIN = 90.0
_PATIENCE = 60.0
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


async def events_since(
    api: httpx.AsyncClient, began: datetime, count: int, *names: str
) -> list[dict[str, Any]]:
    """The events of these names since a time, once there are so many."""
    body = {
        "filter": {"event": {"name": list(names)}, "occurred": {"since": began.isoformat()}},
        "limit": 50,
    }
    deadline = time.monotonic() + _PATIENCE
    while True:
        answer = await api.post("/events/filter", json=body)
        answer.raise_for_status()
        found = list(answer.json()["events"])
        if len(found) >= count:
            return found
        assert time.monotonic() < deadline, f"{len(found)} of {count} events {names}"
        await asyncio.sleep(0.2)

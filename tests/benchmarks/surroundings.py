"""What the benchmarks run on: a Postgres of their own and the simulator, both gone afterwards."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine

from cli import prefect_server
from cli.processes import Processes, free_port
from eightbells.database import embedded
from eightbells.database.engine import connect
from eightbells.database.migrations import migrate
from eightbells.settings import load_settings
from tests import exchange


@contextmanager
def recorder() -> Iterator[None]:
    """A Prefect server as `eightbells up` has it, on Postgres; this process's flows are recorded by it."""
    from prefect.settings import PREFECT_API_URL, PREFECT_LOGGING_TO_API_ENABLED, temporary_settings

    with tempfile.TemporaryDirectory(prefix="eightbells-bench-") as folder:
        os.chmod(folder, 0o755)
        os.environ["EIGHTBELLS_DATABASE__DIRECTORY"] = folder
        prefect_server.prepare_environment(load_settings())
        with embedded.server(Path(folder)) as database, Processes(Path(folder) / "logs") as processes:
            server = prefect_server.start(processes, free_port(), database)
            prefect_server.wait_ready(server)
            wanted = {
                PREFECT_API_URL: os.environ["PREFECT_API_URL"],
                PREFECT_LOGGING_TO_API_ENABLED: False,
            }
            with temporary_settings(wanted):
                yield


@contextmanager
def fresh_database() -> Iterator[Engine]:
    """An empty, migrated database on a server of its own; DATABASE_URL names it meanwhile."""
    with tempfile.TemporaryDirectory(prefix="eightbells-bench-") as folder:
        os.chmod(folder, 0o755)
        with embedded.server(Path(folder)) as server:
            server.ensure_database("bench")
            os.environ["DATABASE_URL"] = server.url("bench").render_as_string()
            engine = connect(server.url("bench"))
            migrate(engine)
            try:
                yield engine
            finally:
                engine.dispose()


@contextmanager
def simulator(*arguments: str) -> Iterator[exchange.Simulator]:
    """The simulator without limits; the product's settings point to it."""
    given = ["--no-limits", *arguments]
    with exchange.running(*given, account="paper:paper:USDT=1000000") as running:
        os.environ["EIGHTBELLS_EXCHANGE__REST_URL"] = f"{running.url}/api"
        os.environ["EIGHTBELLS_BUDGETS__KLINES"] = "exchange"
        yield running

"""A Prefect server and the worker of `eightbells serve` in processes of their own, killed and started again at will."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cli import prefect_api, prefect_server
from cli.processes import free_port
from eightbells.database import embedded
from eightbells.settings import Settings
from tests.control_room.installation import PATIENCE
from tests.klines import wait_until
from tests.surroundings import ROOT

NAME = "four-hour-cycle"
# What a schedule of four hours waits for in minutes is waited for in seconds.
PACE = {
    "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "0.5",
    "PREFECT_SERVER_SERVICES_SCHEDULER_RECENT_DEPLOYMENTS_LOOP_SECONDS": "0.5",
    "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "1",
    "PREFECT_RUNNER_POLL_FREQUENCY": "1",
}


class ServerAndWorker:
    """The two, on one database of Prefect's; what they log is kept in a folder."""

    def __init__(
        self,
        folder: Path,
        given: Mapping[str, str],
        settings: Settings,
        postgres: embedded.EmbeddedServer,
        database: str,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        port = free_port()
        self.api, self._folder = f"http://127.0.0.1:{port}/api", folder
        with pytest.MonkeyPatch.context() as kept:
            kept.setenv("PREFECT_API_URL", self.api)
            server = prefect_server.part(port, postgres, database)
        usual = prefect_server.usual(settings)
        self.given = {**usual, **given, **PACE, "PREFECT_API_URL": self.api}
        self._commands = {
            "server": (list(server.command), dict(server.environment)),
            "worker": ([sys.executable, "-m", "cli", "serve", "--sole"], {}),
        }
        self._running = dict[str, subprocess.Popen[bytes]]()

    def start(self, **changed: str) -> None:
        """Start both, the worker with some variables changed; it is there once it serves the deployments."""
        self._start("server", {})
        wait_until(lambda: prefect_server.answers(self.api) or self._has_died(), PATIENCE)
        before = self.polled()
        self._start("worker", changed)
        wait_until(lambda: self.polled() != before or self._has_died(), PATIENCE)
        assert not self._has_died(), self.said()

    def _start(self, name: str, changed: Mapping[str, str]) -> None:
        command, environment = self._commands[name]
        with open(self._folder / f"{name}.log", "ab") as log:
            self._running[name] = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**self.given, **environment, **changed},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _has_died(self) -> bool:
        return any(process.poll() is not None for process in self._running.values())

    def kill(self) -> None:
        """SIGKILL to both, the worker first: it finds no time for last words."""
        for name in ("worker", "server"):
            if (process := self._running.pop(name, None)) is not None:
                process.kill()
                process.wait()

    def said(self) -> str:
        return "\n".join(log.read_text(errors="replace")[-2000:] for log in self._folder.glob("*.log"))

    def polled(self) -> str | None:
        """When a worker last asked for runs; None where the server has no deployment yet."""
        deployment = prefect_api.deployments(self.api).get(NAME)
        return deployment and deployment["last_polled"]

    def deployment(self) -> dict[str, Any]:
        return prefect_api.deployments(self.api)[NAME]

    def add_schedules(self, times: list[datetime]) -> None:
        """Let cycles be due at these times of the day as well, as a person may in the UI."""
        crons = [f"{at.minute} {at.hour} * * * {at.second}" for at in times]
        wanted = [{"schedule": {"cron": cron, "timezone": "UTC"}, "active": True} for cron in crons]
        prefect_api.ask(f"/deployments/{self.deployment()['id']}/schedules", wanted, api=self.api)  # type: ignore[arg-type]

    def runs(self, since: datetime | None = None, until: datetime | None = None) -> list[dict[str, Any]]:
        """The cycle's runs that are due in a span, in the order of their due times."""
        span = {"after_": since and since.isoformat(), "before_": until and until.isoformat()}
        chosen = {
            "deployments": {"name": {"any_": [NAME]}},
            "flow_runs": {"expected_start_time": span},
            "sort": "EXPECTED_START_TIME_ASC",
        }
        found: list[dict[str, Any]] = prefect_api.ask("/flow_runs/filter", chosen, api=self.api)
        return found

    def begin(self, **parameters: Any) -> str:
        """Start a cycle as the UI does; returns the run's id."""
        path = f"/deployments/{self.deployment()['id']}/create_flow_run"
        return str(prefect_api.ask(path, {"parameters": parameters}, api=self.api)["id"])

    def read(self, run: str) -> dict[str, Any]:
        found: dict[str, Any] = prefect_api.ask(f"/flow_runs/{run}", api=self.api)
        return found

    def state_of(self, run: str) -> str:
        return str(self.read(run)["state"]["name"])


def whole_second(moment: datetime, later: float) -> datetime:
    return (moment + timedelta(seconds=later)).replace(microsecond=0)

"""A whole installation as a person starts it: `eightbells up` in a process of its own, and what tests ask of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy.engine import URL

from cli.instance_lock import LockHolder, lock_holder
from tests.exchange import Simulator
from tests.klines import wait_until
from tests.surroundings import ROOT

PATIENCE = 120.0  # it starts in fifteen seconds on a machine that does nothing else

ENDS_WITHIN = 15.0


def environment(folder: Path, at: Simulator, **given: Any) -> dict[str, str]:
    """What a user's shell would hold: settings by the names of their variables without the prefix."""
    address = at.url.replace("http", "ws", 1)
    settings = {
        "database__directory": str(folder),
        "exchange__rest_url": f"{at.url}/api",
        "exchange__stream_url": f"{address}/",
        "exchange__ws_api_url": f"{address}/ws-api/v3",
        "symbols": ["BTCUSDT", "ETHUSDT"],
        "metrics__port": 0,
        "stream__heartbeat_seconds": 0.5,
        "budgets__klines": "exchange",
        **given,
    }
    named = {
        f"EIGHTBELLS_{name.upper()}": value if isinstance(value, str) else json.dumps(value)
        for name, value in settings.items()
    }
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("EIGHTBELLS_", "BINANCE_", "DATABASE_URL", "PREFECT_"))
    }
    certificate = {"PREFECT_API_SSL_CERT_FILE": os.environ["PREFECT_API_SSL_CERT_FILE"]}
    return clean | certificate | named


@contextmanager
def standing(place: Path, market: Simulator, **given: Any) -> Iterator[Installation]:
    """`eightbells up` for the length of a block, with settings by the names of their variables."""
    with Installation(place, environment(place, market, **given)).running() as installation:
        yield installation


def eightbells(
    *arguments: str, given: Mapping[str, str], folder: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, in a folder."""
    return subprocess.run(
        [sys.executable, "-m", "cli", *arguments],
        cwd=folder,
        env=dict(given),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


class Installation:
    """`eightbells up`, from its start to its end.

    Args:
        at: the folder that it is started in.
    """

    def __init__(self, folder: Path, given: Mapping[str, str], at: Path = ROOT) -> None:
        self.folder, self.given, self._at = folder, dict(given), at
        self._said = folder.with_name(f"{folder.name}-up.log")

    def start(self) -> Installation:
        with open(self._said, "ab") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "cli", "up", "--port", "0"],
                cwd=self._at,
                env=self.given,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        wait_until(lambda: self._is_ready() or self.process.poll() is not None, PATIENCE)
        assert self.process.poll() is None, self.said()
        self.note = self.noted()
        return self

    @contextmanager
    def running(self) -> Iterator[Installation]:
        """Start it, and end it after the block where that has not been done."""
        yield self.start()
        if self.process.poll() is None:
            self.end()

    def _is_ready(self) -> bool:
        note = lock_holder(self.folder)
        return note is not None and note.ready and note.pid == self.process.pid

    def noted(self) -> LockHolder:
        note = lock_holder(self.folder)
        assert note is not None
        return note

    def said(self) -> str:
        return self._said.read_text()

    @property
    def postgres(self) -> psutil.Process:
        return psutil.Process(int((self.folder / "postgres/postmaster.pid").read_text().splitlines()[0]))

    @property
    def database(self) -> URL:
        return self.url_of("eightbells")

    def url_of(self, database: str) -> URL:
        return URL.create(
            "postgresql", "postgres", database=database, query={"host": str(self.folder / "postgres")}
        )

    def part(self, words: str) -> psutil.Process:
        """The child whose command line holds these words."""
        (found,) = [it for it in self.children() if words in command_of(it)]
        return found

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()

    def everything(self) -> list[psutil.Process]:
        """Every process of it, Postgres and the processes of flow runs included."""
        return [*psutil.Process(self.process.pid).children(recursive=True), self.postgres]

    def kill(self, words: str) -> None:
        """Kill -9 of a part, and wait until another one runs in its stead."""
        victim = self.part(words)
        victim.kill()
        wait_until(lambda: any(words in command_of(it) for it in self.children() if it != victim), PATIENCE)

    def end(self, number: signal.Signals = signal.SIGTERM) -> float:
        """End it; returns how long that took."""
        told = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(60)
        return time.monotonic() - told

    def assert_ends_in_time(self, number: signal.Signals) -> None:
        everything = self.everything()
        assert self.end(number) < ENDS_WITHIN
        assert self.process.returncode == 0, self.said()
        psutil.wait_procs(everything, timeout=1)
        assert [process for process in everything if lives(process)] == []
        assert "Traceback" not in self.said()

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """Ask the Prefect API."""
        request = urllib.request.Request(
            f"{self.note.prefect_api}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def runs(self, deployment: str) -> list[str]:
        """The states of a deployment's runs, the newest first; those that are only planned apart."""
        chosen = {
            "deployments": {"name": {"any_": [deployment]}},
            "sort": "START_TIME_DESC",
            "flow_runs": {"state": {"type": {"not_any_": ["SCHEDULED"]}}},
        }
        return [run["state"]["name"] for run in self.ask("/flow_runs/filter", chosen)]

    def run(self, deployment: str, **parameters: Any) -> str:
        """Start a deployment as the UI does; returns the run's id."""
        found = self.ask(f"/deployments/name/{deployment}/{deployment}")
        made = self.ask(f"/deployments/{found['id']}/create_flow_run", {"parameters": parameters})
        return str(made["id"])

    def state_of(self, run: str) -> str:
        return str(self.ask(f"/flow_runs/{run}")["state"]["name"])


def lives(process: psutil.Process) -> bool:
    """Whether it runs; a zombie has ended, and nobody has asked for its exit code yet."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def command_of(process: psutil.Process) -> str:
    """Its command line; empty where it has just ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""

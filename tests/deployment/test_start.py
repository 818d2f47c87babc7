"""The services of docker-compose.yml, started side by side without Docker: its commands, its variables, its checks.

Only what a container has for itself is put elsewhere: hosts, ports, folders. Prometheus, Alertmanager and Grafana,
whose images are not ours, are looked at in the tests beside this one.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.processes import free_port
from eightbells.database import embedded
from tests.control_room.webhook import SECRET, Webhook
from tests.deployment import composed
from tests.exchange import Simulator
from tests.klines import wait_until
from tests.surroundings import ROOT

PATIENCE = 60.0


class Composed:
    """The services, put on this machine, and those of them that have been started."""

    def __init__(
        self, postgres: embedded.EmbeddedServer, folder: Path, upstream: str, webhook: Webhook
    ) -> None:
        self.postgres, self.folder, self.webhook = postgres, folder, webhook
        ports = {port: str(free_port()) for port in ("4200", "8080", "8765", "9464")}
        self._elsewhere = (
            (r"https://data-api\.binance\.vision", upstream),
            (r"@postgres:5432/(\w+)", rf"@/\1?host={postgres.socket}"),
            (r"^postgres$", str(postgres.socket)),
            (r"\b(prefect-server|simulator)(?=:)|\b0\.0\.0\.0\b", "127.0.0.1"),
            (rf"(?<![\d.])({'|'.join(ports)})(?!\d)", lambda found: ports[found[1]]),
            (r"/var/lib/\w+|/tmp(?=/ui)", str(folder)),
        )
        self._services: dict[str, dict[str, Any]] = self._placed(
            composed.services({**composed.PAPER, "EIGHTBELLS_NOTIFICATIONS__URLS": f'["{webhook.url}"]'})
        )
        self.api = f"http://127.0.0.1:{ports['4200']}/api"
        self._started: list[subprocess.Popen[bytes]] = []

    def _placed(self, node: Any) -> Any:
        if isinstance(node, dict):
            return {key: self._placed(value) for key, value in node.items()}
        if isinstance(node, list):
            return [self._placed(value) for value in node]
        if isinstance(node, str) and node not in composed.PAPER.values():
            for what, where in self._elsewhere:
                node = re.sub(what, where, node)
        return node

    def environment(self, name: str) -> dict[str, str]:
        path = os.pathsep.join([str(Path(sys.executable).parent), str(self.postgres.programs), os.defpath])
        return {"PATH": path, "HOME": str(self.folder), **self._services[name]["environment"]}

    def start(self, name: str) -> subprocess.Popen[bytes]:
        service = self._services[name]
        with open(self.folder / f"{name}.log", "wb") as log:
            process = subprocess.Popen(
                [*service.get("entrypoint", ["eightbells"]), *service["command"]],
                cwd=ROOT,
                env=self.environment(name),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._started.append(process)
        return process

    def wait_healthy(self, name: str) -> None:
        """Ask the service's own health check until it is content."""
        kind, *check = self._services[name]["healthcheck"]["test"]
        deadline = time.monotonic() + PATIENCE
        while True:
            asked = subprocess.run(
                check if kind == "CMD" else ["/bin/sh", "-c", *check],
                env=self.environment(name),
                capture_output=True,
                check=False,
            )
            if asked.returncode == 0:
                return
            assert time.monotonic() < deadline, (asked.stderr, self.log(name)[-2000:])
            time.sleep(0.2)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def sql(self, statement: str, *, role: str = "eightbells", database: str = "eightbells") -> str:
        psql = [
            self.postgres.programs / "psql",
            "--no-psqlrc",
            "-h",
            self.postgres.socket,
            "-U",
            role,
            "-d",
            database,
        ]
        done = subprocess.run([*psql, "-Atqc", statement], capture_output=True, text=True, check=False)
        return done.stdout.strip() or done.stderr.strip()

    def end(self) -> None:
        """All at once and without a warning, as a power cut would: nothing here may need a good end."""
        for process in self._started:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="module")
def stack(folder: Path, made_up_market: Simulator) -> Iterator[Composed]:
    made_up_market.begin()
    with embedded.server(folder / "composed") as postgres, closing(Webhook()) as webhook:
        stack = Composed(postgres, folder / "composed", made_up_market.url, webhook)
        # as the image runs it; in its container the superuser comes in by the socket, too
        psql = [postgres.programs / "psql", "--no-psqlrc", "-v", "ON_ERROR_STOP=1", "-q"]
        subprocess.run(
            [*psql, "-h", postgres.socket, "-U", "postgres", "-f", ROOT / "monitoring/postgres/init.sql"],
            env=stack.environment("postgres"),
            check=True,
        )
        try:
            migrate = stack.start("migrate")
            for name in ("prefect-server", "simulator"):
                stack.start(name)
            assert migrate.wait(PATIENCE) == 0, stack.log("migrate")
            for name in ("metrics", "backup"):
                stack.start(name)
            stack.wait_healthy("prefect-server")
            for name in ("worker", "stream", "notify"):
                stack.start(name)
            yield stack
        finally:
            stack.end()


@pytest.mark.parametrize("service", ["simulator", "metrics", "backup", "worker", "stream", "notify"])
def test_services_become_healthy_by_their_own_checks(stack: Composed, service: str) -> None:
    stack.wait_healthy(service)


def test_the_worker_serves_every_deployment(stack: Composed) -> None:
    stack.wait_healthy("worker")
    request = urllib.request.Request(
        f"{stack.api}/deployments/filter", data=b"{}", headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        served = {deployment["name"] for deployment in json.load(answer)}
    declared = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    assert served == {deployment["name"] for deployment in declared}


def test_the_prefect_server_gives_metrics_and_the_ui(stack: Composed) -> None:
    for address in (f"{stack.api}/metrics", stack.api.removesuffix("/api")):
        with urllib.request.urlopen(address, timeout=10) as answer:
            assert answer.status == 200


def test_a_dump_holds_the_whole_database(stack: Composed) -> None:
    stack.wait_healthy("backup")
    dump = next(stack.folder.glob("eightbells-*.dump"))
    listed = subprocess.run(
        [stack.postgres.programs / "pg_restore", "--list", dump], capture_output=True, text=True, check=True
    ).stdout
    tables = stack.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").split()
    assert "orders" in tables
    assert all(f"TABLE DATA public {table} " in listed for table in tables)


def test_a_backup_tells_prometheus_of_itself(stack: Composed) -> None:
    told = "SELECT total FROM metric_totals WHERE name = 'eightbells_last_backup_timestamp_seconds'"
    wait_until(lambda: stack.sql(told), PATIENCE)
    assert time.time() - float(stack.sql(told)) < 600


def test_a_halt_is_told_at_the_address_that_is_set(stack: Composed) -> None:
    stack.sql("UPDATE switches SET is_on = false, reason = 'looking into it'")
    wait_until(lambda: "Trading is off" in stack.webhook.titles, PATIENCE)


def test_grafana_reads_every_table_and_writes_none(stack: Composed) -> None:
    assert stack.sql("SELECT count(*) FROM orders", role="grafana") == "0"
    assert "read-only" in stack.sql("DELETE FROM switches", role="grafana")
    denied = stack.sql("SET TRANSACTION READ WRITE; DELETE FROM switches", role="grafana")
    assert "permission denied" in denied
    assert "permission denied" in stack.sql("SELECT 1", role="grafana", database="prefect")


def test_passwords_are_kept_as_hashes_and_the_superuser_has_none(stack: Composed) -> None:
    found = stack.sql(
        "SELECT rolname, left(rolpassword, 13) FROM pg_authid WHERE rolcanlogin ORDER BY 1",
        role="postgres",
        database="postgres",
    )
    assert found.splitlines() == ["eightbells|SCRAM-SHA-256", "grafana|SCRAM-SHA-256", "postgres|"]


def test_no_secret_is_in_a_log(stack: Composed) -> None:
    logs = [*stack.folder.glob("*.log"), stack.postgres.data / "log"]
    assert len(logs) > 5
    for log in logs:
        for secret in (composed.PAPER["POSTGRES_PASSWORD"], composed.PAPER["GRAFANA_PASSWORD"], SECRET):
            assert secret not in log.read_text()

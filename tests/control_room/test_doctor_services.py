"""`eightbells doctor` on Postgres and Prefect: every failure that it knows is provoked and shown with its remedy."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.engine import URL

from cli import prefect_api
from cli.doctor import services
from cli.doctor.deployments import look_at_deployments
from cli.doctor.services import look_at_postgres, look_at_prefect
from eightbells.database import embedded
from eightbells.database import engine as database_engine
from eightbells.database.engine import require_mode
from eightbells.settings import Settings
from eightbells.strategies.evaluation import code_version
from tests.conftest import Configure
from tests.control_room.examined import DEAD, of
from tests.exchange import Simulator
from tests.surroundings import ROOT


def test_a_database_that_is_well(configure: Configure, database: URL) -> None:
    findings = list(look_at_postgres(configure(database=database)))
    assert "of DATABASE_URL" in of(findings, "Postgres", "ok").what
    of(findings, "migrations", "ok")


@pytest.mark.parametrize(
    ("url", "words"),
    [("postgresql://me:hidden@127.0.0.1:9/none", "no database at"), ("what is this", "cannot be read")],
)
def test_a_postgres_that_is_not_there(
    configure: Configure, monkeypatch: pytest.MonkeyPatch, url: str, words: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    found = of(look_at_postgres(configure()), "Postgres", "fail")
    assert words in found.what
    assert "hidden" not in found.what
    assert "check DATABASE_URL" in found.remedy


def test_a_postgres_too_old(configure: Configure, database: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_engine, "OLDEST_POSTGRES", 990000)
    found = of(look_at_postgres(configure(database=database)), "Postgres", "fail")
    assert "15 or newer" in found.what + found.remedy


@pytest.mark.parametrize(
    ("reached", "remedy"), [("0001", "`eightbells migrate`"), ("9999", "update this program")]
)
def test_a_database_behind_or_ahead(
    configure: Configure, database: URL, engine: Engine, reached: str, remedy: str
) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :it"), {"it": reached})
    found = of(look_at_postgres(configure(database=database)), "migrations", "fail")
    assert reached in found.what
    assert remedy in found.remedy


def test_a_database_without_migrations(
    configure: Configure, postgres: embedded.EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    postgres.ensure_database("bare", fresh=True)
    found = of(look_at_postgres(configure(database=postgres.url("bare"))), "migrations", "fail")
    assert "at none" in found.what
    monkeypatch.delenv("DATABASE_URL")
    new = configure(database__name="brand_new")
    assert "`eightbells up`" in of(look_at_postgres(new), "migrations", "warn").remedy
    postgres.drop_database("brand_new")


def test_a_database_of_another_mode(configure: Configure, database: URL, engine: Engine) -> None:
    settings = configure(database=database, mode="live")
    assert "of mode live" in of(look_at_postgres(settings), "database", "ok").what
    require_mode(engine, "paper")  # to look has claimed nothing
    found = of(look_at_postgres(settings), "database", "fail")
    assert "candles and books of mode 'paper'" in found.what
    assert "EIGHTBELLS_DATABASE__NAME=eightbells_live" in found.remedy


def test_a_ban_that_is_still_on(configure: Configure, database: URL, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO budgets VALUES ('weight', now() + interval '1 hour', 'HTTP 418')")
        )
    found = of(look_at_postgres(configure(database=database)), "ban", "fail")
    assert "HTTP 418" in found.what
    assert "wait" in found.remedy


def ask(api: str, path: str, body: dict[str, Any], method: str = "POST") -> Any:
    request = urllib.request.Request(
        f"{api}{path}",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
        method=method,
    )
    while True:
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.loads(answer.read() or "null")
        except urllib.error.HTTPError as error:
            if (
                error.code != HTTPStatus.SERVICE_UNAVAILABLE
            ):  # its database is busy: Prefect's own clients ask again
                raise
            time.sleep(0.5)


def forget_deployments(api: str) -> None:
    for entry in ask(api, "/deployments/filter", {}):
        ask(api, f"/deployments/{entry['id']}", {}, "DELETE")


@pytest.fixture
def api(prefect_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("PREFECT_API_URL", prefect_server)
    forget_deployments(prefect_server)
    return prefect_server


async def registered() -> dict[str, str]:
    from orchestration.deployments import register

    return {str(it.name): it.name for it in await register()}


def test_no_prefect_server(settings: Settings, market: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", f"{DEAD}/api")
    assert "start that server" in of(look_at_prefect(settings), "Prefect", "fail").remedy
    monkeypatch.setenv("PREFECT_API_URL", f"{market.url}/api")
    assert "answers 404" in of(look_at_prefect(settings), "Prefect", "fail").what
    monkeypatch.delenv("PREFECT_API_URL")
    monkeypatch.setattr("cli.prefect_api.USUAL", f"{DEAD}/api")
    assert "`eightbells up`" in of(look_at_prefect(settings), "Prefect", "warn").remedy


async def test_deployments_are_missing_then_current_then_paused_then_changed(
    api: str, settings: Settings
) -> None:
    found = of(look_at_prefect(settings), "deployments", "fail")
    assert "four-hour-cycle" in found.what
    await registered()
    findings = list(look_at_prefect(settings))
    for name in ("Prefect", "deployments", "worker"):
        of(findings, name, "ok")
    (cycle,) = ask(api, "/deployments/filter", {"deployments": {"name": {"any_": ["four-hour-cycle"]}}})
    assert cycle["version"] == code_version()
    (schedule,) = cycle["schedules"]
    ask(api, f"/deployments/{cycle['id']}/schedules/{schedule['id']}", {"active": False}, "PATCH")
    assert "four-hour-cycle: paused" in of(look_at_prefect(settings), "deployments", "warn").what
    ask(api, f"/deployments/{cycle['id']}/schedules/{schedule['id']}", {"active": True}, "PATCH")
    ask(api, f"/deployments/{cycle['id']}", {"tags": ["of another version"]}, "PATCH")
    found = of(look_at_prefect(settings), "deployments", "warn")
    assert "not as prefect.yaml declares" in found.what
    assert "register them" in found.remedy
    forget_deployments(api)


@pytest.mark.parametrize(
    ("entrypoint", "why"),
    [
        ("flows.nowhere.halt", "No module named 'flows.nowhere'"),
        ("flows.halt.stop", "'stop' not found in 'flows.halt'"),
        ("../nowhere/flows/halt.py:halt", "nowhere/flows/halt.py"),
        ("eightbells/settings/model.py:PROJECT", "'PROJECT' is not a flow"),
    ],
)
async def test_a_deployment_whose_flow_cannot_be_loaded(
    api: str, settings: Settings, entrypoint: str, why: str
) -> None:
    """As after registering from another folder: every run would crash, a halt among them."""
    await registered()
    halt = ask(api, "/deployments/name/halt/halt", {}, "GET")
    ask(api, f"/deployments/{halt['id']}", {"entrypoint": entrypoint}, "PATCH")
    found = of(look_at_prefect(settings), "deployments", "fail")
    assert f"no run can be started: halt ({entrypoint}: " in found.what
    assert why in found.what
    assert "register them" in found.remedy
    forget_deployments(api)


async def test_a_deployment_registered_by_a_path_is_loaded_where_the_worker_was_started(
    api: str, settings: Settings, tmp_path: Path
) -> None:
    await registered()
    halt = ask(api, "/deployments/name/halt/halt", {}, "GET")
    ask(api, f"/deployments/{halt['id']}", {"entrypoint": "flows/halt.py:halt"}, "PATCH")
    known = prefect_api.deployments(api)
    found = look_at_deployments(known, ROOT)
    assert (found.verdict, found.what) == ("warn", "not as prefect.yaml declares them: halt")
    assert look_at_deployments(known, tmp_path).verdict == "fail"
    known["halt"]["pull_steps"] = [{"set_working_directory": {"directory": str(ROOT)}}]
    assert look_at_deployments(known, tmp_path).verdict == "warn"
    forget_deployments(api)


async def test_runs_that_nobody_takes(api: str, settings: Settings) -> None:
    await registered()
    found = ask(api, "/deployments/filter", {"deployments": {"name": {"any_": ["halt"]}}})[0]
    due = (datetime.now(UTC) - timedelta(minutes=10)).isoformat()
    state = {"type": "SCHEDULED", "state_details": {"scheduled_time": due}}
    run = ask(api, f"/deployments/{found['id']}/create_flow_run", {"state": state})
    late = of(look_at_prefect(settings), "worker", "warn")
    assert late.what.startswith("1 runs are late")
    ask(api, f"/flow_runs/{run['id']}", {}, "DELETE")
    forget_deployments(api)


async def test_a_server_of_another_version(
    api: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "version", lambda package: "3.0.0")
    assert "one version" in of(look_at_prefect(settings), "Prefect", "warn").remedy

"""`eightbells doctor`: every failure that it knows is provoked, told apart, and shown with its remedy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.engine import URL

from cli.doctor import machine, services
from cli.doctor.exchange import look_at_exchange
from cli.doctor.findings import Finding
from cli.doctor.machine import look_at_machine
from cli.doctor.services import look_at_postgres, look_at_prefect
from eightbells.database import embedded
from eightbells.database import engine as database_engine
from eightbells.settings import Settings
from tests.conftest import Configure
from tests.exchange import Simulator
from tests.surroundings import ROOT

DEAD = "http://127.0.0.1:9"
Use = Callable[..., Settings]


def of(findings: Iterable[Finding], name: str, verdict: str) -> Finding:
    """The finding of this name; it must have this verdict, and a remedy where it is not well."""
    (found,) = [finding for finding in findings if finding.name == name and finding.verdict == verdict]
    assert (verdict == "ok") == (found.remedy == "")
    return found


async def gathered(findings: AsyncIterator[Finding]) -> list[Finding]:
    return [finding async for finding in findings]


# The machine


def pretend(monkeypatch: pytest.MonkeyPatch, folder: Path, package: str, version: str, *lines: str) -> None:
    """Let another version of a package be the one that is found first."""
    place = folder / f"{package}-{version}.dist-info"
    place.mkdir()
    said = ["Metadata-Version: 2.1", f"Name: {package}", f"Version: {version}", *lines]
    (place / "METADATA").write_text("\n".join(said) + "\n")
    monkeypatch.syspath_prepend(folder)


def test_a_machine_that_is_well(settings: Settings) -> None:
    findings = list(look_at_machine(settings))
    for name in ("Python", "packages", "disk", "strategies"):
        of(findings, name, "ok")


def test_a_python_too_old(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pretend(monkeypatch, tmp_path, "eightbells", "9", "Requires-Python: >=3.99")
    found = of(look_at_machine(settings), "Python", "fail")
    assert ">=3.99 is needed" in found.what
    assert "PYTHON=" in found.remedy


def test_packages_of_the_wrong_version_and_missing_ones(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pretend(monkeypatch, tmp_path, "prefect", "3.0.0")
    needs = ("Requires-Python: >=3.11", "Requires-Dist: prefect==3.8.8", "Requires-Dist: no-such-package>=1")
    pretend(monkeypatch, tmp_path, "eightbells", "9", *needs)
    found = of(look_at_machine(settings), "packages", "fail")
    assert "prefect is 3.0.0, not ==3.8.8" in found.what
    assert "no-such-package is missing" in found.what
    assert "requirements/runtime.txt" in found.remedy


@pytest.mark.parametrize(("limit", "verdict"), [("FREE_AT_LEAST", "fail"), ("FREE_BETTER", "warn")])
def test_a_disk_that_fills(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, limit: str, verdict: str
) -> None:
    monkeypatch.setattr(machine, limit, 1e9)
    found = of(look_at_machine(settings), "disk", verdict)
    assert "GB free" in found.what
    assert "EIGHTBELLS_DATABASE__DIRECTORY" in found.remedy


def test_a_data_folder_that_cannot_be_written(configure: Configure, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings = configure(database__directory=str(tmp_path / "file/data"))
    assert "cannot be written" in of(look_at_machine(settings), "disk", "fail").what


@pytest.mark.parametrize(
    ("strategies", "verdict", "words"),
    [
        ([{"name": "s", "kind": "moon", "capital": 1}], "fail", "there is no kind 'moon'"),
        ([], "warn", "none"),
    ],
    ids=["unknown", "none"],
)
def test_strategies_that_cannot_be_built(
    configure: Configure, strategies: list[dict[str, Any]], verdict: str, words: str
) -> None:
    assert words in of(look_at_machine(configure(strategies=strategies)), "strategies", verdict).what


# Postgres


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


def test_a_ban_that_is_still_on(configure: Configure, database: URL, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO budgets VALUES ('weight', now() + interval '1 hour', 'HTTP 418')")
        )
    found = of(look_at_postgres(configure(database=database)), "ban", "fail")
    assert "HTTP 418" in found.what
    assert "wait" in found.remedy


# The exchange


def set_to_present(market: Simulator) -> None:
    """Set its clock to this machine's; on a busy one the request may take a while."""
    market.control("clock", time=int(time.time() * 1000), speed=1)
    for _ in range(10):
        offset = int(time.time() * 1000) - market.now
        if abs(offset) < 100:
            return
        market.advance(offset)


@pytest.fixture
def use(market: Simulator, configure: Configure, monkeypatch: pytest.MonkeyPatch) -> Use:
    """Settings for the exchange at the present time, with a key that it knows; live unless told otherwise."""
    market.begin()
    set_to_present(market)
    market.control(
        "settings", accounts={"pape": {"permissions": {"read": True, "trade": True, "withdraw": False}}}
    )
    address = market.url.replace("http", "ws", 1)

    def using(key: str = "paper", secret: str = "paper", **given: Any) -> Settings:
        monkeypatch.setenv("BINANCE_API_KEY", key)
        monkeypatch.setenv("BINANCE_API_SECRET", secret)
        usual = {
            "mode": "live", "symbols": ["BTCUSDT", "ETHUSDT"], "exchange__stream_url": f"{address}/",
            "exchange__ws_api_url": f"{address}/ws-api/v3",
        }  # fmt: skip
        return configure(market, **{**usual, **given})

    return using


async def test_an_exchange_that_is_well(use: Use) -> None:
    findings = await gathered(look_at_exchange(use()))
    expected = ["exchange", "clock", "symbols", "limits", "key", "secret", "orders left", "permissions"]
    for name in (*expected, "stream socket", "account socket"):
        of(findings, name, "ok")
    assert "restrict it" in of(findings, "permissions", "warn").remedy


async def test_an_exchange_that_does_not_answer(use: Use) -> None:
    findings = await gathered(look_at_exchange(use(exchange__rest_url=f"{DEAD}/api")))
    assert "check the network" in of(findings, "exchange", "fail").remedy
    assert "key" not in {finding.name for finding in findings}


async def test_paper_mode_before_its_exchange_is_started(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.doctor.exchange.is_free", lambda port: True)
    (finding,) = await gathered(look_at_exchange(configure()))
    assert "`eightbells up` starts it" in of([finding], "exchange", "warn").remedy


@pytest.mark.parametrize(
    ("action", "remedy"),
    [
        ({"status": 403, "html": "<html>"}, "firewall"),
        ({"status": 418, "code": -1003, "msg": "banned"}, "lower [budgets]"),
        ({"status": 429, "code": -1003, "msg": "too many"}, "lower [budgets]"),
        ({"status": 503, "html": "<html>"}, "wait: the exchange is in trouble"),
        ({"silence": 3}, "check the network"),
    ],
    ids=["403", "418", "429", "503", "silent"],
)
async def test_an_exchange_that_turns_us_away(
    use: Use, market: Simulator, action: dict[str, Any], remedy: str
) -> None:
    market.fault("GET /api/v3/time", action)
    patience = {"exchange__timeout_seconds": "0.5"} if "silence" in action else {}
    findings = await gathered(look_at_exchange(use(**patience)))
    assert remedy in of(findings, "exchange", "fail").remedy


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("GET /api/v3/exchangeInfo", "limits"),
        ("GET /api/v3/account", "key"),
        ("GET /sapi/v1/account/apiRestrictions", "permissions"),
    ],
)
async def test_an_answer_that_fails_is_a_failure_of_what_it_would_have_told(
    use: Use, market: Simulator, path: str, name: str
) -> None:
    market.fault(path, {"status": 503, "html": "<html>"})
    assert "wait" in of(await gathered(look_at_exchange(use())), name, "fail").remedy


@pytest.mark.parametrize(("seconds", "verdict"), [(2, "warn"), (-2, "warn"), (3600, "fail")])
async def test_a_clock_that_is_off(use: Use, market: Simulator, seconds: int, verdict: str) -> None:
    market.advance(seconds * 1000)
    assert "timedatectl" in of(await gathered(look_at_exchange(use())), "clock", verdict).remedy


async def test_a_simulator_in_another_time_is_no_failure_in_paper_mode(use: Use, market: Simulator) -> None:
    market.begin()
    of(await gathered(look_at_exchange(use(mode="paper"))), "clock", "warn")


async def test_symbols_that_are_not_listed_or_rest(use: Use, market: Simulator) -> None:
    findings = await gathered(look_at_exchange(use(symbols=["BTCUSDT", "MOONUSDT"])))
    assert "MOONUSDT" in of(findings, "symbols", "fail").what
    market.control("settings", symbols={"ETHUSDT": {"status": "BREAK"}})
    assert "ETHUSDT" in of(await gathered(look_at_exchange(use())), "symbols", "warn").what


async def test_limits_that_are_nearly_used_up(use: Use, market: Simulator) -> None:
    market.control("settings", rate_limits={"REQUEST_WEIGHT": 200})
    market.fault("GET /api/v3/exchangeInfo", {"headers": {"X-MBX-USED-WEIGHT-1M": "190"}})
    nearly = [{"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 50, "count": 49}]
    market.fault("GET /api/v3/rateLimit/order", {"body": json.dumps(nearly), "status": 200})
    try:
        findings = await gathered(look_at_exchange(use()))
    finally:
        market.control("settings", rate_limits={"REQUEST_WEIGHT": 6000})
    assert "[budgets]" in of(findings, "limits", "warn").remedy
    assert "49 of 50 in 10 SECOND" in of(findings, "orders left", "warn").what


@pytest.mark.parametrize(
    ("key", "secret", "words"),
    [("", "", "not set in the environment"), ("nobody", "x", "-2015"), ("paper", "wrong", "-1022")],
    ids=["no key", "unknown key", "wrong secret"],
)
async def test_a_key_that_does_not_open(use: Use, key: str, secret: str, words: str) -> None:
    findings = await gathered(look_at_exchange(use(key, secret)))
    found = of(findings, "key", "fail")
    assert words in found.what
    assert "wrong" not in found.what + found.remedy
    of(findings, "stream socket", "ok")


@pytest.mark.parametrize("content", [None, "not a key"], ids=["missing", "no key in it"])
async def test_a_private_key_that_cannot_be_read(
    use: Use, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "private.pem"
    if content:
        file.write_text(content)
    monkeypatch.setenv("BINANCE_PRIVATE_KEY_FILE", str(file))
    assert "BINANCE_PRIVATE_KEY_FILE" in of(await gathered(look_at_exchange(use())), "key", "fail").what


def test_a_private_key_that_others_may_read(
    use: Use, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from cli.doctor.exchange import _private_key_file

    file = tmp_path / "private.pem"
    file.write_text("key")
    monkeypatch.setenv("BINANCE_PRIVATE_KEY_FILE", str(file))
    file.chmod(0o644)
    assert f"chmod 600 {file}" in of([_private_key_file(use())], "secret", "warn").remedy
    file.chmod(0o600)
    of([_private_key_file(use())], "secret", "ok")


@pytest.mark.parametrize(
    ("changed", "name", "words"),
    [
        ({"withdraw": True}, "permissions", "switch withdrawals off"),
        ({"trade": False}, "key", "spot trading"),
        ({"read": False}, "key", "permissions"),
    ],
    ids=["may withdraw", "may not trade", "may not read"],
)
async def test_a_key_that_may_do_too_much_or_too_little(
    use: Use, market: Simulator, changed: dict[str, bool], name: str, words: str
) -> None:
    settings = use()
    market.control("settings", accounts={"pape": {"permissions": changed}})
    assert words in of(await gathered(look_at_exchange(settings)), name, "fail").remedy


@pytest.mark.parametrize(
    ("setting", "name"),
    [("exchange__stream_url", "stream socket"), ("exchange__ws_api_url", "account socket")],
)
async def test_a_socket_that_cannot_be_reached(use: Use, setting: str, name: str) -> None:
    findings = await gathered(look_at_exchange(use(**{setting: "ws://127.0.0.1:9/"})))
    assert "WebSockets" in of(findings, name, "fail").remedy


async def test_a_socket_that_does_not_come_back(use: Use, market: Simulator) -> None:
    settings = use()
    market.control("faults", match={"channel": "stream"}, action={"stream": "refuse", "status": 403}, nth=2)
    findings = await gathered(look_at_exchange(settings))
    assert "403" in of(findings, "stream socket", "fail").what


# Prefect


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
    from flows.deployments import register

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
    (schedule,) = cycle["schedules"]
    ask(api, f"/deployments/{cycle['id']}/schedules/{schedule['id']}", {"active": False}, "PATCH")
    assert "four-hour-cycle: paused" in of(look_at_prefect(settings), "deployments", "warn").what
    ask(api, f"/deployments/{cycle['id']}/schedules/{schedule['id']}", {"active": True}, "PATCH")
    ask(api, f"/deployments/{cycle['id']}", {"tags": ["of another version"]}, "PATCH")
    found = of(look_at_prefect(settings), "deployments", "warn")
    assert "not as prefect.yaml declares" in found.what
    assert "register them" in found.remedy
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


# The command


def doctor(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cli", "doctor", *arguments],
        cwd=ROOT, env={**os.environ, "COLUMNS": "80"}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_the_exit_code_tells_whether_something_fails(use: Use, database: URL, configure: Configure) -> None:
    use("paper")
    configure(database=database)
    well = doctor("--json")
    assert well.returncode == 0, well.stdout
    assert json.loads(well.stdout)["verdict"] == "warn"  # no Prefect server runs
    use("nobody")
    ill = doctor()
    assert ill.returncode == 1
    assert max(map(len, ill.stdout.splitlines())) <= 80
    assert "fail key" in ill.stdout
    assert "->" in ill.stdout


def test_a_setting_that_cannot_be_read_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EIGHTBELLS_MODE", "real")
    done = doctor("--json")
    assert done.returncode == 1
    (finding,) = json.loads(done.stdout)["findings"]
    assert (finding["name"], finding["verdict"]) == ("settings", "fail")
    assert "eightbells.toml" in finding["remedy"]


def test_live_trading_does_not_begin_while_something_fails(
    use: Use, database: URL, configure: Configure, market: Simulator, tmp_path: Path
) -> None:
    use("paper", database__directory=str(tmp_path))
    configure(database=database)
    market.control("settings", accounts={"pape": {"permissions": {"withdraw": True}}})
    done = subprocess.run(
        [sys.executable, "-m", "cli", "up", "--port", "0"],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert (
        "no live trading while `eightbells doctor` fails: permissions: the key: it may withdraw"
        in done.stderr
    )
    assert "Traceback" not in done.stderr

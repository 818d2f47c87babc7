"""docker-compose.yml: what it starts, with which rights, and where its secrets go."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tomllib
from typing import Any

import pytest
import typer.main

from cli.main import app
from eightbells.database import locks
from eightbells.settings import Settings, load_settings
from simulator.options import read_options
from tests.deployment import composed
from tests.surroundings import ROOT

ADDRESSES = "EIGHTBELLS_NOTIFICATIONS__URLS"
SECRETS = ("BINANCE_API_KEY", "BINANCE_API_SECRET", "POSTGRES_PASSWORD", "GRAFANA_PASSWORD", ADDRESSES)
WITH_SECRETS = {
    **composed.PAPER, "BINANCE_API_KEY": "a-real-key", "BINANCE_API_SECRET": "a-real-secret",
    ADDRESSES: "[\"json://a-real-address\"]",
}  # fmt: skip
SERVICES = composed.services(composed.PAPER)
OURS = composed.ours(composed.PAPER)
ONCE = {"migrate"}


def of_every_service(services: dict[str, Any] = SERVICES) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("service", services.values(), ids=services)


def test_docker_accepts_it() -> None:
    try:
        subprocess.run(["docker", "compose", "version"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("docker has no plugin compose here; the other tests read the file themselves")
    done = subprocess.run(
        ["docker", "compose", "config", "--quiet"],
        cwd=ROOT,
        env={**os.environ, **composed.PAPER},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_name_refers_to_something() -> None:
    content = composed.raw()
    for name, service in SERVICES.items():
        assert set(service["networks"]) <= set(content["networks"]), name
        for other, wait in service.get("depends_on", {}).items():
            assert wait["condition"] != "service_healthy" or "healthcheck" in SERVICES[other], (name, other)
            assert wait["condition"] != "service_completed_successfully" or other in ONCE, (name, other)
            assert not SERVICES[other].get("profiles"), f"{name} waits for {other}, which may not be started"
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            known = (ROOT / source).exists() if source[0] in "./" else source in content["volumes"]
            assert known, (name, source)


@of_every_service()
def test_images_are_pinned_by_version(service: dict[str, Any]) -> None:
    assert re.fullmatch(r"[a-z]+(/[a-z]+)?:v?\d+(\.\d+)+(-[a-z]+)?", service["image"])


def test_our_image_bears_the_version_of_the_package() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert {service["image"] for service in OURS.values()} == {f"eightbells:{version}"}


@of_every_service()
def test_services_have_no_more_rights_than_they_need(service: dict[str, Any]) -> None:
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.keys() & {"privileged", "cap_add", "devices", "network_mode", "pid", "ipc"}
    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
    assert all(volume.endswith(":ro") for volume in service.get("volumes", []) if volume[0] in "./")
    if service["image"].startswith("postgres:"):  # the others' images have a user of their own
        assert service["user"] == "postgres"


@of_every_service({name: service for name, service in SERVICES.items() if name not in ONCE})
def test_what_runs_for_ever_is_watched_and_started_again(service: dict[str, Any]) -> None:
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}


def test_nothing_is_open_to_the_network() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert composed.raw()["networks"]["inside"]["internal"] is True
    for name in ("postgres", "metrics", "migrate", "backup"):
        assert SERVICES[name]["networks"] == ["inside"]


@of_every_service(OURS)
def test_every_command_is_one_that_the_program_knows(service: dict[str, Any]) -> None:
    entrypoint = service.get("entrypoint", ["eightbells"])
    if entrypoint == ["eightbells"]:
        assert service["command"][0] in typer.main.get_command(app).commands
    elif entrypoint == ["python", "-m", "simulator"]:
        read_options([word for word in service["command"] if word != "--data"])
    else:
        assert [*entrypoint, *service["command"][:2]] == ["python", "-m", "prefect", "server", "start"]


@of_every_service(OURS)
def test_every_variable_is_a_setting(service: dict[str, Any]) -> None:
    """A misspelt one would be ignored in silence."""
    from prefect.settings import get_current_settings

    without_default = {"PREFECT_API_URL", "PREFECT_SERVER_UI_STATIC_DIRECTORY"}
    known = without_default | set(get_current_settings().to_environment_variables())
    for name in service["environment"]:
        if name.startswith("PREFECT_"):
            assert name in known
        if name.startswith("EIGHTBELLS_"):
            fields: Any = Settings.model_fields
            for part in name.removeprefix("EIGHTBELLS_").lower().split("__"):
                assert part in fields, name
                fields = getattr(fields[part].annotation, "model_fields", {})


def test_a_missing_password_is_said() -> None:
    for name in ("POSTGRES_PASSWORD", "GRAFANA_PASSWORD"):
        with pytest.raises(KeyError, match=name):
            composed.services({**composed.PAPER, name: ""})


def test_no_secret_is_written_down() -> None:
    for line in (ROOT / ".env.example").read_text().splitlines():
        name, sign, value = line.partition("=")
        assert not (sign and name in (*SECRETS, "ALERT_WEBHOOK_URL") and value), line
    for line in json.dumps(composed.raw(), indent=1).splitlines():
        if found := re.fullmatch(r'\s*"([A-Z_]*(?:PASSWORD|SECRET|KEY))": "(.*)",?', line):
            assert re.fullmatch(r"\$\{\w+:[-?][^}]*\}", found[2]), line


def test_secrets_are_handed_over_in_the_environment_and_only_where_they_are_needed() -> None:
    got: dict[str, set[str]] = {name: set() for name in SECRETS}
    for service, content in composed.services(WITH_SECRETS).items():
        environment = content.pop("environment", {})
        for name in SECRETS:
            secret = WITH_SECRETS[name]
            assert secret not in json.dumps(content, ensure_ascii=False), f"{service} shows {name}"
            carriers = [key for key, value in environment.items() if secret in value]
            assert all(environment[key] == secret for key in carriers), f"{name} is in a longer value"
            got[name] |= {service} if carriers else set()
    assert got["BINANCE_API_KEY"] == got["BINANCE_API_SECRET"] == {"worker", "stream"}
    assert got["GRAFANA_PASSWORD"] == {"postgres", "grafana"}
    assert got[ADDRESSES] == {"notify"}
    assert "grafana" not in got["POSTGRES_PASSWORD"]


def settings_of(monkeypatch: pytest.MonkeyPatch, service: str, environment: dict[str, str]) -> Settings:
    for name, value in composed.services(environment)[service]["environment"].items():
        monkeypatch.setenv(name, value)
    return load_settings()


@pytest.mark.parametrize("service", ["worker", "stream"])
def test_paper_is_the_default_and_asks_the_simulator_only(
    monkeypatch: pytest.MonkeyPatch, service: str
) -> None:
    example = dict(
        line.split("=", 1) for line in (ROOT / ".env.example").read_text().splitlines() if line[:1].isupper()
    )
    passwords = {name: composed.PAPER[name] for name in ("POSTGRES_PASSWORD", "GRAFANA_PASSWORD")}
    settings = settings_of(monkeypatch, service, {**example, **passwords})
    assert settings.mode == "paper"
    simulator = SERVICES["simulator"]
    assert simulator["profiles"] == [example["COMPOSE_PROFILES"]]
    port = simulator["command"][simulator["command"].index("--port") + 1]
    for url in (settings.rest_url, settings.stream_url, settings.ws_api_url):
        assert f"//simulator:{port}/" in url
    paper = settings.credentials()
    account = f"{paper.key}:{paper.secret.get_secret_value()}:"
    assert simulator["environment"]["SIMULATOR_ACCOUNT"].startswith(account)


def test_live_asks_binance_and_needs_the_profile_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    live = {**WITH_SECRETS, "EIGHTBELLS_MODE": "live", "COMPOSE_PROFILES": ""}
    settings = settings_of(monkeypatch, "worker", live)
    assert settings.rest_url == "https://api.binance.com/api"
    assert settings.stream_url.startswith("wss://stream.binance.com")
    assert settings.credentials().key == "a-real-key"
    assert settings.credentials().secret.get_secret_value() == "a-real-secret"


@pytest.mark.parametrize("mode", ["paper", "live"])
def test_what_looks_at_an_account_looks_at_the_one_that_is_traded(
    monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    given = {**WITH_SECRETS, "EIGHTBELLS_MODE": mode, "COMPOSE_PROFILES": ""}
    for service in ("worker", "stream", "metrics", "notify"):
        assert settings_of(monkeypatch, service, given).account == mode, service


def test_who_is_told_is_a_list_that_may_be_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings_of(monkeypatch, "notify", {**composed.PAPER, ADDRESSES: ""}).notifications.urls == []
    [address] = settings_of(monkeypatch, "notify", WITH_SECRETS).notifications.urls
    assert address.get_secret_value() == "json://a-real-address"


def test_the_metrics_look_at_the_disk_and_not_at_a_folder_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/var/lib/eightbells")  # as the image says
    directory = str(settings_of(monkeypatch, "metrics", composed.PAPER).directory)
    assert not any(directory.startswith(place.split(":")[0]) for place in SERVICES["metrics"]["tmpfs"])


def test_a_private_key_is_mounted_where_the_program_looks_for_it() -> None:
    worker = composed.services({**WITH_SECRETS, "BINANCE_PRIVATE_KEY_FILE": "/root/key.pem"})["worker"]
    assert f"/root/key.pem:{worker['environment']['BINANCE_PRIVATE_KEY_FILE']}:ro" in worker["volumes"]
    assert SERVICES["worker"]["environment"]["BINANCE_PRIVATE_KEY_FILE"] == ""


def test_the_streams_health_check_looks_for_the_lock_that_the_stream_takes() -> None:

    assert f"classid = {locks.STREAM} " in SERVICES["stream"]["healthcheck"]["test"][-1]


@pytest.mark.parametrize(("url", "config"), [("", "show"), ("https://hook/?a=b&c='$HOME'", "post")])
def test_alertmanager_is_given_the_webhook_in_a_file(tmp_path: Any, url: str, config: str) -> None:
    program = tmp_path / "alertmanager"
    program.write_text('#!/bin/sh\necho "$@"\n')
    program.chmod(0o755)
    service = composed.services({**composed.PAPER, "ALERT_WEBHOOK_URL": url})["alertmanager"]
    [script] = service["command"]
    done = subprocess.run(
        [*service["entrypoint"], script.replace("/tmp/webhook", f"{tmp_path}/webhook")],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", **service["environment"]},
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"--config.file=/etc/alertmanager/{config}.yml" in done.stdout.split()
    assert (tmp_path / "webhook").read_text() == url
    assert (tmp_path / "webhook").stat().st_mode & 0o077 == 0
    assert (ROOT / f"monitoring/alertmanager/{config}.yml").is_file()

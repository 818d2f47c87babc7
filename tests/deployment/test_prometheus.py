"""Prometheus' configuration, the rules, and that every alert is tested both ways."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from tests.deployment import composed, promql
from tests.surroundings import ROOT

FOLDER = ROOT / "monitoring/prometheus"
RULES = [
    rule
    for file in sorted((FOLDER / "rules").glob("*.yml"))
    for group in yaml.safe_load(file.read_text())["groups"]
    for rule in group["rules"]
]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
RECORDED = {rule["record"] for rule in RULES if "record" in rule}
TESTS = sorted((FOLDER / "tests").glob("*.yml"))
CASES = [
    case
    for file in TESTS
    for test in yaml.safe_load(file.read_text())["tests"]
    for case in test["alert_rule_test"]
]


def test_promtool_accepts_the_configuration(promtool: Callable[..., str]) -> None:
    assert "SUCCESS" in promtool("check", "config", FOLDER / "prometheus.yml")


def test_every_alert_fires_and_stays_silent_as_its_tests_say(promtool: Callable[..., str]) -> None:
    promtool("test", "rules", *TESTS)


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_is_tested_both_ways(alert: str) -> None:
    outcomes = {bool(case["exp_alerts"]) for case in CASES if case["alertname"] == alert}
    assert outcomes == {True, False}


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_says_what_it_is_and_where_help_is(alert: str) -> None:
    rule = ALERTS[alert]
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert all(rule["annotations"][name].strip() for name in ("summary", "description"))
    assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{alert.lower()}"


def test_the_runbook_has_a_section_for_every_alert() -> None:
    sections = set(re.findall(r"^#+ (.+)$", (ROOT / "docs/runbook.md").read_text(), re.M))
    assert set(ALERTS) <= sections


def test_rules_ask_for_metrics_that_exist(exported: set[str]) -> None:
    for rule in RULES:
        assert promql.names(rule["expr"]) <= exported | RECORDED | {"up"}, rule["expr"]


def test_the_users_name_of_failed_requests_is_recorded(exported: set[str]) -> None:
    assert "binance_api_requests_total" in exported
    [rule] = [rule for rule in RULES if rule.get("record") == "binance_api_requests_failed"]
    assert rule["expr"] == "binance_api_requests_failed_total"


def test_what_is_scraped_is_what_compose_starts() -> None:
    services = composed.services(composed.PAPER)
    config: dict[str, Any] = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    targets = {job["job_name"]: job["static_configs"][0]["targets"][0] for job in config["scrape_configs"]}
    port = services["metrics"]["environment"]["EIGHTBELLS_METRICS__PORT"]
    assert targets["eightbells"] == f"metrics:{port}"
    [told] = config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"]
    for target in (*targets.values(), told):
        host, port = target.split(":")
        name = "prometheus" if host == "localhost" else host
        published = [entry.split(":")[-1] for entry in services[name].get("ports", [])]
        assert port in published or name == "metrics"
        assert "inside" in services[name]["networks"]


@pytest.mark.parametrize("config", ["post", "show"])
def test_alertmanager_sends_to_receivers_that_exist(config: str) -> None:
    content = yaml.safe_load((ROOT / f"monitoring/alertmanager/{config}.yml").read_text())
    [receiver] = content["receivers"]
    assert content["route"]["receiver"] == receiver["name"]
    [script] = composed.services(composed.PAPER)["alertmanager"]["command"]
    for hook in receiver.get("webhook_configs", []):
        assert f"> {hook['url_file']}\n" in script
    for rule in content.get("inhibit_rules", []):
        named = set(re.findall(r"[A-Z]\w+", " ".join(rule["source_matchers"] + rule["target_matchers"])))
        assert named <= set(ALERTS)

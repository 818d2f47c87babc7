"""A real Prometheus with the project's own configuration and rules, its targets on this machine."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.processes import free_port
from tests.klines import wait_until
from tests.surroundings import ROOT

CONFIG = ROOT / "monitoring/prometheus/prometheus.yml"


class Prometheus:
    """One that runs."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, path: str, **values: str) -> Any:
        query = urllib.parse.urlencode(
            [(name.replace("match", "match[]"), it) for name, it in values.items()]
        )
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=10) as answer:
            return json.load(answer)["data"]

    def value(self, expression: str) -> float:
        """The only sample of an expression."""
        (sample,) = self.ask("query", query=expression)["result"]
        return float(sample["value"][1])

    def series(self) -> dict[str, list[dict[str, str]]]:
        """The labels of each series of ours, by its name; what Prometheus adds itself is left out."""
        found: dict[str, list[dict[str, str]]] = {}
        for labels in self.ask("series", match='{job="eightbells"}'):
            found.setdefault(labels.pop("__name__"), []).append(
                {name: value for name, value in labels.items() if name not in ("job", "instance")}
            )
        return found

    def rules(self) -> list[dict[str, Any]]:
        return [rule for group in self.ask("rules")["groups"] for rule in group["rules"]]


@contextmanager
def scraping(metrics: str, folder: Path) -> Iterator[Prometheus]:
    """Let Prometheus scrape this address for as long as the block lasts; skips where it is not installed."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus is not installed: it comes with Debian's package of that name")
    config = yaml.safe_load(CONFIG.read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(CONFIG.parent / files) for files in config["rule_files"]]
    config["alerting"] = {}  # nobody is told
    place = free_port()
    targets = {"eightbells": urllib.parse.urlsplit(metrics).netloc, "prometheus": f"127.0.0.1:{place}"}
    jobs = [job for job in config["scrape_configs"] if job["job_name"] in targets]
    for job in jobs:
        job["static_configs"] = [{"targets": [targets[job["job_name"]]]}]
    config["scrape_configs"] = jobs
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    arguments = {
        "config.file": folder / "prometheus.yml",
        "storage.tsdb.path": folder / "data",
        "web.listen-address": targets["prometheus"],
        "log.level": "warn",
    }
    with open(folder / "prometheus.log", "wb") as log:
        process = subprocess.Popen(
            [program, *(f"--{name}={value}" for name, value in arguments.items())], stdout=log, stderr=log
        )
    try:
        url = f"http://{targets['prometheus']}"
        wait_until(lambda: process.poll() is not None or _is_ready(url), 30)
        assert process.poll() is None, (folder / "prometheus.log").read_text()
        yield Prometheus(url)
    finally:
        process.terminate()
        process.wait(30)


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/-/ready", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False

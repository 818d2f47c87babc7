"""What several of these tests need: the metrics that /metrics really has, and promtool where there is one."""

from __future__ import annotations

import shutil
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine, text

from eightbells import metrics

_SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}


@pytest.fixture
def exported(engine: Engine) -> set[str]:
    """The names of all series that the exporter gives of an installation in use."""
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO cycles VALUES ('paper', now(), now(), 1, '{}', NULL)"
            )  # what it tells needs a cycle
        )
    port = metrics.serve(engine, "127.0.0.1", 0)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    return {family.name + suffix for family in families for suffix in _SUFFIXES.get(family.type, ("",))}


@pytest.fixture(scope="session")
def promtool() -> Callable[..., str]:
    """Runs promtool; what it complains of fails the test."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed: it comes with Debian's package prometheus")

    def run(*arguments: str | Path) -> str:
        done = subprocess.run(
            [program, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run

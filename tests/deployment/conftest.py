"""What several of these tests need: the metrics that /metrics really has, and promtool where there is one."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.conftest import Configure
from tests.metrics import families

_SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}


@pytest.fixture
def exported(engine: Engine, configure: Configure) -> set[str]:
    """The names of all series that the exporter gives of an installation in use."""
    return {
        family.name + suffix
        for family in families(engine, configure).values()
        for suffix in _SUFFIXES.get(family.type, ("",))
    }


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

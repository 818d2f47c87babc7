"""`eightbells doctor` as a command: its exit code, its words at 80 columns, and live trading that waits for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from tests.conftest import Configure
from tests.control_room.examined import Use
from tests.exchange import Simulator
from tests.surroundings import ROOT


def doctor(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cli", "doctor", *arguments],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "80"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


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
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert (
        "no live trading while `eightbells doctor` fails: permissions: the key: it may withdraw"
        in done.stderr
    )
    assert "Traceback" not in done.stderr

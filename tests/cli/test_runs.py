"""`eightbells cycle` and `backfill` against a database, an exchange and a Prefect server that are there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.engine import URL

from cli import prefect_api
from tests.conftest import Configure
from tests.exchange import Simulator
from tests.klines import counts
from tests.surroundings import ROOT

Eightbells = Callable[..., "subprocess.CompletedProcess[str]"]
FLEETING = frozenset(
    {"order_looks", "balance_looks", "budget_grants", "budgets", "metric_totals", "mode", "quote"}
)
BUDGETS = {"budgets__klines": "exchange", "budgets__account": "exchange", "budgets__orders": "exchange"}


@pytest.fixture
def eightbells(
    simulator: Simulator,
    database: URL,
    configure: Configure,
    prefect_server: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Eightbells:
    """Runs the command in this very environment; keywords are settings."""
    configure(simulator, database, symbols=["BTCUSDT", "ETHUSDT"], candles__settle_seconds="0", **BUDGETS)
    monkeypatch.setenv("PREFECT_API_URL", prefect_server)

    def run(*arguments: str, **settings: Any) -> subprocess.CompletedProcess[str]:
        environment = {f"EIGHTBELLS_{name.upper()}": str(value) for name, value in settings.items()}
        return subprocess.run(
            [sys.executable, "-m", "cli", *arguments],
            cwd=ROOT,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """The one line that a failed command says."""
    assert done.returncode not in (0, None), done.stdout
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.strip()]
    return line


def answer(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    ("arguments", "settings", "words"),
    [
        (["backfill", "--symbols", "BTCUSDT,NOSUCHUSDT"], {}, "not listed at the exchange: NOSUCHUSDT"),
        (
            ["backfill", "--start", "2025-06-02", "--end", "2025-06-01"],
            {},
            "the start 2025-06-02 lies after the end",
        ),
        (
            ["cycle"],
            {"exchange__rest_url": "http://127.0.0.1:9/api"},
            "nothing answers at http://127.0.0.1:9/api",
        ),
    ],
    ids=["unknown symbol", "start after end", "no exchange"],
)
def test_a_mistake_is_one_clear_line_and_writes_nothing(
    eightbells: Eightbells, engine: Engine, arguments: list[str], settings: dict[str, str], words: str
) -> None:
    before = counts(engine, without=FLEETING | {"symbols"})
    assert words in complaint(eightbells(*arguments, **settings))
    assert counts(engine, without=FLEETING | {"symbols"}) == before


def test_a_strategy_that_cannot_be_built_is_named_and_the_cycle_ends_with_1(eightbells: Eightbells) -> None:
    done = eightbells("cycle", strategies='[{"name": "s", "kind": "moon", "capital": 100}]')
    assert done.returncode == 1
    assert done.stderr == ""
    assert "there is no kind 'moon'" in " ".join(done.stdout.split())


def test_a_cycle_run_twice_leaves_both_sides_as_they_were(
    eightbells: Eightbells, simulator: Simulator, engine: Engine
) -> None:
    """The whole installation as it comes, with its own strategies; the Prefect server need not know the deployments."""
    known = set(prefect_api.deployments())
    first = answer(eightbells("cycle", "--json"))
    assert (first["candle"], first["outcome"]) == ("2025-12-31 20:00", "complete")
    assert first["signals"] == 4
    assert all(placed["by_this_run"] for placed in first["placed"])
    before = counts(engine, without=FLEETING), simulator.truth()
    again = answer(eightbells("cycle", "--json"))
    assert (again["signals"], again["orders"]) == (first["signals"], first["orders"])
    assert again["idle"] == "done"
    assert (counts(engine, without=FLEETING), simulator.truth()) == before
    assert set(prefect_api.deployments()) == known


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            "cycle --candel x",
            "No such option: --candel. Did you mean --candle? See `eightbells cycle --help`.",
        ),
        ("cycel", "No such command 'cycel'. Did you mean 'cycle'? See `eightbells --help`."),
        (
            "gaps --state odd",
            "'odd' is not one of 'open', 'repaired', 'absent'. See `eightbells gaps --help`.",
        ),
        ("demo --cycles many", "Invalid value for '--cycles': Input should be a valid integer"),
        ("explain", "Missing argument 'order'. See `eightbells explain --help`."),
        ("cycle now", "unexpected extra argument"),
    ],
)
def test_what_is_not_known_is_one_line_with_help(arguments: str, line: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cli", *arguments.split()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    said = complaint(done)
    assert said.startswith("eightbells: ")
    assert line in said


def test_the_version_is_told() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cli", "--version"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == f"eightbells {version('eightbells')}\n"

"""The command line as a person meets it: one clear line for a mistake, one JSON object for an answer."""

from __future__ import annotations

import csv
import gzip
import json
import os
import socket
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import text

from eightbells.database.engine import connect
from eightbells.settings import PROJECT
from tests import proxy

KEYS = {
    "candles",
    "quarantined",
    "absent",
    "cycles",
    "signals",
    "orders",
    "fills",
    "exchange_orders",
    "mismatches",
    "equity",
    "seconds",
}
SYMBOL = {"symbol": "BTCUSDT", "status": "TRADING", "baseAsset": "BTC", "quoteAsset": "USDT", "filters": []}


def eightbells(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("EIGHTBELLS_", "BINANCE_"))
    }
    clean |= {"EIGHTBELLS_DATABASE__DIRECTORY": str(folder), **environment}
    return subprocess.run(
        [sys.executable, "-m", "cli", *arguments],
        cwd=PROJECT,
        env=clean,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


def assert_one_line(done: subprocess.CompletedProcess[str], words: str) -> None:
    assert done.returncode == 1, done.stdout + done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.strip()]
    assert line.startswith("eightbells: ")
    assert words in line
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        (["cycle"], {"EIGHTBELLS_MODE": "live"}, "BINANCE_API_KEY and BINANCE_API_SECRET are not set"),
        (
            ["cycle"],
            {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"},
            "no database at postgresql://nobody@",
        ),
        (["status"], {"DATABASE_URL": "postgresql://me:p@ss@host/name"}, "write @ as %40"),
        (["status"], {"EIGHTBELLS_RISK_MAX_ORDER": "1"}, "did you mean EIGHTBELLS_RISK__MAX_ORDER?"),
        (["cycle"], {"EIGHTBELLS_CONFIG": "/nowhere/eightbells.toml"}, "no configuration file"),
        (["cycle"], {"PREFECT_API_URL": "http://127.0.0.1:1/api"}, "no Prefect server answers"),
        (["cycle", "--candle", "yesterday"], {}, "yesterday is not a time"),
        (["backfill", "--start", "2021-13-01"], {}, "2021-13-01 is not a day"),
        (["backfill", "--symbols", " , "], {}, "--symbols is empty"),
        (["demo", "--data", "/nowhere"], {}, "no folder klines-4h in /nowhere"),
        (["status"], {"ALL_PROXY": "socks5h://me:it@proxy:1"}, "ALL_PROXY: socks5h proxy is not supported"),
        (["demo", "--port", "99999"], {}, "there is no port 99999"),
        (["explain", "eb-none"], {}, "there is no order eb-none"),
    ],
)
def test_a_mistake_is_one_clear_line(folder, postgres, arguments, environment, words):
    if arguments[0] == "explain":
        assert eightbells("migrate", folder=folder).returncode == 0
    assert_one_line(eightbells(*arguments, folder=folder, **environment), words)


def test_files_that_the_demo_cannot_use_are_a_line_each(folder, postgres, tmp_path):
    klines = tmp_path / "klines-4h"
    for name in (klines, tmp_path / "exchange-info"):
        name.mkdir()
    for name in ("BTCUSDT", "ETHUSDT"):
        (klines / f"{name}-4h.csv.gz").write_bytes(b"")
    info = {"rateLimits": [], "symbols": [SYMBOL]}
    (tmp_path / "exchange-info" / "all.json.gz").write_bytes(gzip.compress(json.dumps(info).encode()))
    done = eightbells("demo", "--once", "--port", "0", "--data", str(tmp_path), folder=folder)
    assert (done.returncode, done.stdout) == (1, "")
    first, second = done.stderr.splitlines()
    assert (
        first
        == f"eightbells: {klines}/BTCUSDT-4h.csv.gz:1: holds no candles; download it again, or remove it"
    )
    assert second.startswith(f"eightbells: {klines}/ETHUSDT-4h.csv.gz: ETHUSDT is not listed in ")


def test_a_taken_port_is_one_clear_line(folder, postgres):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = eightbells("demo", "--once", "--port", str(port), folder=folder)
    assert_one_line(done, f"port {port} is taken")


def test_a_database_without_migrations_is_told_apart(folder, postgres):
    postgres.ensure_database("bare", fresh=True)
    address = postgres.url("bare").render_as_string()
    assert_one_line(eightbells("metrics", folder=folder, DATABASE_URL=address), "run `eightbells migrate`")
    assert eightbells("migrate", folder=folder, DATABASE_URL=address).returncode == 0


def test_the_demo_on_made_up_candles_agrees_with_its_exchange(folder, postgres):
    with proxy.running() as refusing:  # nothing that the demo asks for is elsewhere
        ways = dict.fromkeys(("HTTP_PROXY", "https_proxy", "ALL_PROXY"), refusing.url)
        found = demo(folder, "--cycles", "2", "--symbols", "BTCUSDT,ETHUSDT", **ways)
    assert found["cycles"] == 2
    assert found["signals"] == 8
    assert refusing.asked == []


def test_the_demo_on_real_klines_loads_them_to_the_last_digit(folder, postgres, market_data):
    found = demo(folder, "--cycles", "2", "--data", str(market_data))
    rows = {file.name.split("-")[0]: _rows(file) for file in (market_data / "klines-4h").glob("*.csv.gz")}
    assert found["candles"] == sum(map(len, rows.values()))
    assert found["quarantined"] == 0
    engine = connect(postgres.url("eightbells_demo"))
    with engine.connect() as connection:
        sums = dict(connection.execute(text("SELECT symbol, sum(volume) FROM candles GROUP BY symbol")).all())
        absent = dict(
            connection.execute(
                text("SELECT symbol, count(*) FROM candle_gaps WHERE state = 'absent' GROUP BY symbol")
            ).all()
        )
    engine.dispose()
    assert sums == {symbol: sum(Decimal(row["volume"]) for row in table) for symbol, table in rows.items()}
    assert absent["BTCUSDT"] == 16


def demo(folder: Path, *arguments: str, **environment: str) -> dict[str, object]:
    done = eightbells("demo", "--once", "--json", "--port", "0", *arguments, folder=folder, **environment)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert set(found) == KEYS
    assert found["mismatches"] == 0
    assert found["orders"] == found["exchange_orders"]
    return found


def _rows(file: Path) -> list[dict[str, str]]:
    with gzip.open(file, "rt") as table:
        return list(csv.DictReader(table))

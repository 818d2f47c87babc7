"""After runs full of failures, key, secret and signatures are nowhere: not in a log, a state, an artifact, a table."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
from prefect.settings import PREFECT_API_URL
from sqlalchemy import Engine, text
from sqlalchemy.engine import URL

from eightbells.database.embedded import EmbeddedServer
from eightbells.database.engine import connect
from tests import exchange
from tests import prefect_server as prefect_server_of_tests
from tests.conftest import Configure
from tests.exchange import SYMBOLS, Simulator
from tests.gateway.answers import quick_errors
from tests.klines import wait_until
from tests.metrics import page
from tests.surroundings import ROOT

KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
# What shows that the failures did reach each place.
EXPECTED = {
    "output": ["Traceback", "Binance -1022 on apiRestrictions", "Binance http 5xx on time"],
    "Prefect": [
        "Binance -1022 on apiRestrictions",
        "Binance -1003 on klines",
        "AwaitingRetry",
        "cycle-report",
        "prefect.flow-run.Failed",
        "insufficient balance",
    ],
    "tables": [
        "Binance -1007 on order.place",
        "Binance network on order.place",
        "Binance timeout on order.place",
    ],
    "metrics": [
        f'binance_api_requests_failed_total{{error="{code}"}}' for code in ("-1022", "-1003", "unreadable")
    ],
}
REVERSED = SECRET[::-1]  # the wrong one that the last run signs with


@pytest.fixture(scope="module")
def real() -> Iterator[Simulator]:
    with exchange.running("--generate", "5", "--account", f"{KEY}:{SECRET}:USDT=100000") as simulator:
        yield simulator


@pytest.fixture
def prefects(postgres: EmbeddedServer) -> Iterator[Engine]:
    """The database of Prefect's server: runs and their states, logs, events, artifacts."""
    engine = connect(postgres.url(prefect_server_of_tests.DATABASE))
    yield engine
    engine.dispose()


def everything_kept(engine: Engine) -> str:
    """Every row of every table as text."""
    with engine.connect() as connection:
        names = connection.execute(
            text("SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'")
        ).scalars()
        return "\n".join(
            str(row)
            for name in names
            for row in connection.execute(text(f"SELECT t::text FROM {name} AS t")).scalars()
        )


def run_into_failures(url: str) -> str:
    """What the run says, with every log as talkative as it can be."""
    given = {
        "BINANCE_API_KEY": KEY,
        "BINANCE_API_SECRET": SECRET,
        "PREFECT_API_URL": PREFECT_API_URL.value(),
        "PREFECT_LOGGING_TO_API_ENABLED": "true",
        "PREFECT_LOGGING_LEVEL": "DEBUG",
        "PREFECT_LOGGING_EXTRA_LOGGERS": "eightbells,aiohttp,asyncio,binance,psycopg,sqlalchemy",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    }
    ran = subprocess.run(
        [sys.executable, "-m", "tests.gateway.failing_run", url],
        cwd=ROOT,
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    return ran.stdout + ran.stderr


def test_after_runs_full_of_failures_no_secret_is_anywhere(
    prefect_server: str,
    real: Simulator,
    configure: Configure,
    database: URL,
    engine: Engine,
    prefects: Engine,
) -> None:
    real.begin()
    strategy = {"name": "always", "kind": "tests.always:Always", "capital": "10000"}
    configure(
        real,
        database,
        mode="live",
        symbols=SYMBOLS,
        errors=quick_errors(),
        exchange__timeout_seconds=0.5,
        budgets__klines="exchange",
        budgets__orders="exchange",
        budgets__account="exchange",
        candles__settle_seconds="0",
        trading__order_type="market",
        strategies=[strategy],
    )
    said = run_into_failures(real.url)
    wait_until(lambda: "prefect.flow-run.Failed" in everything_kept(prefects))
    places = {
        "output": said,
        "Prefect": everything_kept(prefects),
        "tables": everything_kept(engine),
        "metrics": page(engine, configure),
    }
    for place, words in EXPECTED.items():
        assert [it for it in words if it not in places[place]] == [], (
            f"{place} lacks what shows that it was read"
        )
    for place, content in places.items():
        for secret in (KEY, SECRET, REVERSED):
            assert secret not in content, place
        assert re.findall(r"signature\W{1,4}[0-9A-Za-z%+/]{16,}", content, re.IGNORECASE) == [], place
    assert {order["account"] for order in real.orders()} == {KEY[:4]}

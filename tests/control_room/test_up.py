"""`eightbells up`: everything runs, what is killed comes back and is shown truly, and nothing outlives it.

The tests share one installation and stand in the order of its life.
"""

from __future__ import annotations

import json
import signal
import socket
import time
import urllib.request
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import psutil
import pytest
from sqlalchemy.engine import URL
from sqlalchemy.exc import OperationalError

from cli.instance_lock import lock_holder
from cli.paper import paper_exchange
from cli.processes import Processes, free_port
from eightbells.database.engine import connect
from eightbells.errors import EightbellsError
from eightbells.metrics.counted import STAGES
from eightbells.trading.switch import set_switch
from orchestration.declared import declared
from tests.conftest import Configure
from tests.control_room.installation import (
    ENDS_WITHIN,
    PATIENCE,
    Installation,
    command_of,
    eightbells,
    environment,
    lives,
)
from tests.control_room.prometheus import Prometheus, scraping
from tests.control_room.webhook import SECRET, Webhook
from tests.exchange import LAST, STEP, Simulator
from tests.klines import one, wait_until
from tests.metrics import documented_metrics
from tests.surroundings import ROOT

ENTRY = """
[[strategies]]
name = "mine"
kind = "mine:Patient"
capital = "1000"
"""
STRATEGY = """
from eightbells.strategies.contract import Opinion, Parameters


class Patient:
    version, window, Parameters = "1", 2, Parameters

    def __init__(self, parameters): ...

    def decide(self, candles):
        return Opinion("flat", "later")
"""


@pytest.fixture(scope="module")
def webhook() -> Iterator[Webhook]:
    hook = Webhook()
    yield hook
    hook.close()


@pytest.fixture(scope="module")
def up(folder: Path, market: Simulator, webhook: Webhook) -> Iterator[Installation]:
    """Started in a user's folder, behind a proxy that reaches nothing: all that it asks for is on this machine."""
    market.begin()
    at = folder / "a user's place"
    at.mkdir()
    (at / "eightbells.toml").write_text((ROOT / "eightbells.toml").read_text() + ENTRY)
    (at / "mine.py").write_text(STRATEGY)
    given = environment(folder / "up", market, notifications__urls=[webhook.url])
    dead = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "all_proxy"), "http://127.0.0.1:9")
    with Installation(folder / "up", given | dead, at).running() as installation:
        yield installation


def test_database_prefect_deployments_stream_and_metrics_are_up(up: Installation) -> None:
    served = {entry["name"] for entry in up.ask("/deployments/filter", {})}
    assert served == {entry["name"] for entry in declared()}
    wait_until(lambda: up.runs("stream") == ["Running"], PATIENCE)
    wait_until(lambda: _count(up, "candles") >= 2, PATIENCE)  # the stream fetches what is missing
    with urllib.request.urlopen(up.note.metrics, timeout=10) as answer:
        assert "eightbells_candles" in answer.read().decode()


def test_status_shows_what_runs_and_what_comes(up: Installation) -> None:
    found = json.loads(eightbells("status", "--json", given=up.given).stdout)
    assert (found["up"]["pid"], found["prefect"]) == (up.process.pid, up.note.prefect_api)
    assert found["stream"] is True
    assert datetime.fromisoformat(found["next_cycle"]).hour % 4 == 0


def test_a_halt_is_told_at_the_webhook(up: Installation, webhook: Webhook) -> None:
    engine = connect(up.database)
    set_switch(engine, False, "looking into it")
    wait_until(lambda: "Trading is off" in webhook.titles, PATIENCE)
    set_switch(engine, True, "found nothing")
    engine.dispose()
    logs = [*(up.folder / "logs").glob("*.log"), up.folder / "told.json"]
    assert [log.name for log in logs if SECRET in log.read_text()] == []


def test_prometheus_finds_every_metric_that_is_documented(
    up: Installation, market: Simulator, tmp_path: Path
) -> None:
    with scraping(up.note.metrics, tmp_path) as prometheus:
        wait_until(lambda: up.runs("stream") == ["Running"], PATIENCE)
        market.control("clock", time=market.now // STEP * STEP + STEP - 2000, speed=1)  # a close comes
        wait_until(
            lambda: prometheus.value("sum(eightbells_stream_candles_total) or vector(0)") >= 2, PATIENCE
        )
        run = up.run("four-hour-cycle")
        assert eightbells("backup", str(tmp_path / "a.dump"), given=up.given).returncode == 0
        wait_until(lambda: up.state_of(run) == "Completed", PATIENCE)
        assert _count(up, "evaluations WHERE strategy = 'mine'") > 0
        wait_until(lambda: set(documented_metrics()) <= _metrics(prometheus), 15)
        for name, every in prometheus.series().items():
            if metric := _metric_of(name):
                assert {frozenset(labels) - {"le"} for labels in every} == {frozenset(metric)}, name
        wait_until(lambda: _stages_passed(prometheus) == set(STAGES), 15)
        assert prometheus.value('binance_api_request_duration_seconds_count{endpoint="klines"}') > 0
        assert prometheus.value("eightbells_equity") > 0
        assert 0 < prometheus.value("eightbells_disk_free_ratio") < 1
        for name in ("stream_last_frame", "last_backup", "last_reconciliation"):
            assert 0 <= prometheus.value(f"time() - eightbells_{name}_timestamp_seconds") < PATIENCE, name
        assert prometheus.value("eightbells_candle_overdue_seconds") == 0
        wait_until(lambda: all(rule["health"] == "ok" for rule in prometheus.rules()), 15)


def test_a_second_up_says_that_one_is_running_and_where(up: Installation) -> None:
    done = eightbells("up", "--port", "0", given=up.given)
    assert done.returncode == 1
    assert f"already runs on {up.folder} (process {up.process.pid})" in done.stderr
    assert up.note.prefect_api.removesuffix("/api") in done.stderr


def test_a_command_in_another_folder_is_recorded_and_changes_no_deployment(
    up: Installation, tmp_path: Path
) -> None:
    before, runs = registered(up), up.runs("four-hour-cycle")
    for name in ("flows", "orchestration", "tasks"):  # not ours
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    done = eightbells("cycle", "--no-trade", "--symbols", "BTCUSDT", given=up.given, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(up.runs("four-hour-cycle")) > len(runs)
    assert registered(up) == before
    run = up.run("halt", reason="a look")
    wait_until(lambda: up.state_of(run) == "Completed", PATIENCE)
    assert eightbells("resume", given=up.given).returncode == 0


def registered(up: Installation) -> list[list[str]]:
    """What a worker needs of each deployment, and its ids."""
    names = ("id", "name", "version", "entrypoint", "path", "pull_steps", "schedules", "parameters")
    found = up.ask("/deployments/filter", {"sort": "NAME_ASC"})
    return [[str(entry[name]) for name in names] for entry in found]


def test_a_killed_stream_comes_back_by_itself_and_its_run_shows_as_crashed(up: Installation) -> None:
    wait_until(lambda: up.runs("stream")[:1] == ["Running"], PATIENCE)
    up.kill("cli stream")
    wait_until(lambda: up.runs("stream") == ["Running", "Crashed"], PATIENCE)


def test_a_killed_worker_comes_back_and_what_it_ran_shows_as_crashed(
    up: Installation, market: Simulator
) -> None:
    market.fault("GET /api/v3/klines", {"delay": 20}, times=1)
    run = up.run("backfill", symbols=["ETHUSDT"], start="2025-12-30")
    wait_until(lambda: up.state_of(run) == "Running", PATIENCE)
    up.kill("cli serve")
    wait_until(lambda: up.state_of(run) == "Crashed", PATIENCE)
    assert up.runs("stream")[0] == "Running"


def test_a_killed_postgres_comes_back(up: Installation) -> None:
    killed = up.postgres
    killed.kill()
    wait_until(lambda: _is_new(up, killed) and _count(up, "switches") == 1, PATIENCE)


def test_a_killed_prefect_server_comes_back_where_it_was(up: Installation) -> None:
    up.kill("prefect server")
    wait_until(lambda: _answers(f"{up.note.prefect_api}/health"), PATIENCE)


def test_what_was_started_again_how_often_is_noted(up: Installation) -> None:
    again = {name for name, count in up.noted().restarts.items() if count}
    assert again >= {"stream", "worker", "prefect-server"}


def test_after_a_kill_9_its_children_end_and_the_next_up_starts_at_once(up: Installation) -> None:
    children = psutil.Process(up.process.pid).children(recursive=True)
    up.process.kill()
    up.process.wait()
    up.start()  # the lock is free though its children still end; Postgres is taken over
    psutil.wait_procs(children, timeout=30)
    assert [process for process in children if lives(process)] == []
    wait_until(lambda: up.runs("stream")[:1] == ["Running"], PATIENCE)
    wait_until(lambda: up.runs("stream").count("Running") == 1, PATIENCE)


def test_it_ends_in_time_and_leaves_no_process(up: Installation) -> None:
    up.assert_ends_in_time(signal.SIGTERM)


def test_what_is_given_is_used_and_left_running(
    folder: Path, market: Simulator, database: URL, prefect_server: str
) -> None:
    market.begin()
    place = folder / "up-elsewhere"
    given = environment(place, market) | {
        "DATABASE_URL": database.render_as_string(hide_password=False),
        "PREFECT_API_URL": prefect_server,
    }
    up = Installation(place, given).start()
    assert up.note.prefect_api == prefect_server
    names = {command_of(child).rpartition(" cli ")[2] for child in up.children()}
    assert names == {"serve", "metrics", "stream"}
    assert not (place / "postgres").exists()
    children = psutil.Process(up.process.pid).children(recursive=True)
    assert up.end(signal.SIGINT) < ENDS_WITHIN
    assert up.process.returncode == 0
    assert [child for child in children if lives(child)] == []
    assert _answers(f"{prefect_server}/health")


def test_a_taken_port_is_one_clear_line_and_nothing_is_left(folder: Path, market: Simulator) -> None:
    place = folder / "up-taken"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for arguments, settings in ((["--port", str(port)], {}), (["--port", "0"], {"metrics__port": port})):
            done = eightbells("up", *arguments, given=environment(place, market, **settings))
            assert done.returncode == 1
            assert f"port {port}" in done.stderr
            assert "Traceback" not in done.stderr
    assert lock_holder(place) is None
    assert not (place / "postgres").exists()


def test_paper_modes_exchange_has_the_markets_prices_and_keeps_its_account(
    market: Simulator, configure: Configure, tmp_path: Path
) -> None:
    market.begin()
    settings = configure(paper__prices=market.url, paper__capital="123", database__directory=str(tmp_path))
    part = paper_exchange(settings, free_port())
    assert part is not None
    url = f"http://127.0.0.1:{part.command[part.command.index('--port') + 1]}"
    for _ in range(2):
        with Processes(tmp_path / "logs") as processes:
            child = processes.start(part.name, part.command, part.environment)
            child.wait_until(lambda: _answers(f"{url}/simulator/clock"), 30)
            exchange = Simulator(url)
            assert exchange.klines("BTCUSDT", LAST) == market.klines("BTCUSDT", LAST)
            (balances,) = exchange.truth()["balances"].values()
            assert float(balances["USDT"]["free"]) == 123
    elsewhere = configure(exchange__rest_url=market.url)
    assert paper_exchange(elsewhere) is None


def _metrics(prometheus: Prometheus) -> set[str]:
    """The metrics that there are series of; a histogram by its own name."""
    return {name.removesuffix("_bucket") for name in prometheus.series()}


def _stages_passed(prometheus: Prometheus) -> set[str]:
    """The stages of a cycle that were timed."""
    found = prometheus.ask("query", query="eightbells_cycle_stage_duration_seconds_count > 0")["result"]
    return {series["metric"]["stage"] for series in found}


def _metric_of(series: str) -> set[str] | None:
    """The documented labels of the metric that a series belongs to; None where it is none of ours."""
    names = [series, *(series.removesuffix(it) for it in ("_bucket", "_count", "_sum"))]
    return next((documented_metrics()[name] for name in names if name in documented_metrics()), None)


def _count(up: Installation, table: str) -> int:
    try:
        engine = connect(up.database)
    except EightbellsError:  # it is being started
        return -1
    try:
        return int(one(engine, f"SELECT count(*) FROM {table}"))
    except OperationalError:
        return -1
    finally:
        engine.dispose()


def _is_new(up: Installation, old: psutil.Process) -> bool:
    try:
        return up.postgres != old
    except (OSError, ValueError, IndexError, psutil.NoSuchProcess):
        return False


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        time.sleep(0.1)
        return False

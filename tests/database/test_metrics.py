"""/metrics: facts come from the tables, figures of processes that ended add up, and a reading has one owner."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.engine import URL

from eightbells import metrics
from eightbells.candles import grid
from eightbells.exchange.gateway import PLACE_LIST, PLACE_ORDER, REPLACE_ORDER
from eightbells.metrics import counted
from eightbells.quality import suite
from eightbells.quality.gate import admit
from eightbells.trading.states import State
from eightbells.trading.switch import set_switch
from tests.books import bring, list_symbol, plan_order, planned_order, proven_signal
from tests.conftest import Configure
from tests.klines import FIRST, STEP, admitted, after, frame, kline, klines, one
from tests.metrics import values
from tests.surroundings import ROOT

Told = Callable[[], dict[str, float]]


@pytest.fixture
def told(engine: Engine, configure: Configure) -> Told:
    """What /metrics says of the database, for two symbols on a paper account."""
    configure(symbols=["BTCUSDT", "ETHUSDT"])
    return lambda: values(engine, configure)


def save_cycle(engine: Engine, slot: int, equity: object, account: str = "paper") -> None:
    opened = grid.to_time(FIRST + slot * STEP)
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO cycles VALUES (:account, :opened, :at, :equity, '{}')"),
            {
                "account": account,
                "opened": opened,
                "at": opened + timedelta(hours=4, seconds=9),
                "equity": equity,
            },
        )


def flush_elsewhere(database: URL, work: str) -> None:
    """Let another process count something and flush."""
    program = (
        "import os; from eightbells import metrics; from eightbells.database.engine import connect\n"
        f"{work}\nmetrics.flush(connect(os.environ['DATABASE_URL']))"
    )
    given = {**os.environ, "DATABASE_URL": database.render_as_string(hide_password=False)}
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=given, check=True)


def test_before_anything_has_happened_the_usual_events_are_zero_and_nothing_is_made_up(told: Told) -> None:
    found = told()
    assert found["eightbells_cycles_total{problems}"] == 0
    assert found["binance_api_requests_failed_total{-1003}"] == 0
    assert found["binance_api_request_duration_seconds_count{klines}"] == 0
    assert found["eightbells_cycle_stage_duration_seconds_bucket{fetch,+Inf}"] == 0
    assert {found[f"eightbells_orders{{paper,{state}}}"] for state in State} == {0}
    assert found["eightbells_oldest_unknown_order_age_seconds{paper}"] == 0
    assert not [name for name in found if re.match("eightbells_(last|equity|drawdown|candle_lag|used)", name)]


def test_values_of_labels_that_are_known_beforehand_are_those_that_the_code_uses() -> None:
    def literals(pattern: str, *files: str) -> set[str]:
        return {found for file in files for found in re.findall(pattern, (ROOT / file).read_text())}

    asked = literals(r'self\._(?:call|request)\(\s*"([^"]+)"', "eightbells/exchange/gateway.py")
    assert asked | {PLACE_LIST, PLACE_ORDER, REPLACE_ORDER} == set(counted.ENDPOINTS)
    stages = literals(
        r'stage\("(\w+)"\)', "flows/four_hour_cycle.py", "tasks/trade_candle.py", "tasks/loading.py"
    )
    assert stages == set(counted.STAGES)
    lost = literals(r'Lost\(\s*"([\w-]+)"', "eightbells/exchange/streams.py")
    assert lost == set(counted.LOSSES)
    reasons = {it.meta["reason"] for it in suite.expectations()}
    assert set(counted.USUAL_REASONS) < reasons
    assert set(counted.WARNINGS) == {
        it.meta["reason"] for it in suite.expectations() if it.severity is suite.WARN
    }


def test_candles_are_counted_without_reading_them(told: Told, engine: Engine) -> None:
    admitted(engine, klines(5), after(5))
    admitted(engine, [kline(4, volume="13"), kline(5)], after(6))
    admitted(engine, [kline(6, low="-1")], after(7))
    found = told()
    assert found["eightbells_candles"] == one(engine, "SELECT count(*) FROM candles") == 6
    assert found["eightbells_quarantine_depth"] == 1


def test_the_newest_candles_lag_and_one_that_is_overdue(told: Told, engine: Engine) -> None:
    admitted(engine, klines(3), after(3) + 500)
    admitted(engine, klines(2), after(2) + 60_000, "ETHUSDT")
    admitted(engine, klines(9), after(9), "SOLUSDT")  # not in use
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO metric_totals VALUES ('eightbells_clock_offset_seconds', '{}', :offset)"),
            {"offset": after(4) / 1000 - time.time()},
        )
    found = told()
    assert found["eightbells_candle_lag_seconds"] == 2.5
    # by the exchange's clock a fourth candle has closed two seconds ago; of ETHUSDT the third is not there
    assert found["eightbells_candle_overdue_seconds"] == pytest.approx(4 * 3600 + 2, abs=30)


def test_the_age_of_the_newest_candle_of_each_symbol_and_source(told: Told, engine: Engine) -> None:
    newest = int(time.time() * 1000) // STEP - FIRST // STEP - 1  # the slot that closed last
    closed = FIRST / 1000 + (newest + 1) * STEP / 1000
    admit(engine, [frame(klines(2, newest - 1))], "rest", after(newest + 1))
    admit(engine, [frame(klines(1, newest - 2))], "ws", after(newest + 1))
    admit(engine, [frame(klines(1, newest - 300))], "archive", after(newest + 1))  # too long ago
    admitted(engine, klines(1, newest), after(newest + 1), "SOLUSDT")  # not in use
    found = {name: value for name, value in told().items() if name.startswith("eightbells_candle_age")}
    age = time.time() - closed
    assert found == pytest.approx(
        {
            "eightbells_candle_age_seconds{rest,BTCUSDT}": age,
            "eightbells_candle_age_seconds{ws,BTCUSDT}": age + 2 * STEP / 1000,
        },
        abs=30,
    )
    with engine.begin() as connection:
        list_symbol(connection)
        connection.execute(text("UPDATE symbols SET status = 'BREAK'"))
    assert not [name for name in told() if name.startswith("eightbells_candle_age")]


def test_orders_and_the_age_of_what_is_unknown(told: Told, engine: Engine) -> None:
    made = proven_signal(engine)
    order = planned_order(engine, made)
    with engine.begin() as connection:
        order = bring(connection, order, State.SENDING, State.UNKNOWN)
    time.sleep(0.3)
    found = told()
    assert found["eightbells_orders{paper,UNKNOWN}"] == found["eightbells_orders_unknown{paper}"] == 1
    assert 0.3 <= found["eightbells_oldest_unknown_order_age_seconds{paper}"] < 30
    with engine.begin() as connection:
        bring(connection, order, State.ABSENT)
        plan_order(connection, made, attempt=2)
    found = told()
    assert found["eightbells_oldest_unknown_order_age_seconds{paper}"] == 0
    assert (found["eightbells_orders{paper,ABSENT}"], found["eightbells_orders{paper,PLANNED}"]) == (1, 1)


def test_drawdown_is_from_the_peak_to_now_of_the_account_in_use(told: Told, engine: Engine) -> None:
    for slot, equity in enumerate((100, Decimal("250.5"), 190, Decimal("200.4"))):
        save_cycle(engine, slot, equity)
    save_cycle(engine, 9, 1, "live")
    found = told()
    assert found["eightbells_equity{paper}"] == 200.4
    assert found["eightbells_drawdown_ratio{paper}"] == pytest.approx(0.2)
    assert found["eightbells_last_cycle_candle_seconds{paper}"] == (FIRST + 3 * STEP) / 1000
    assert found["eightbells_last_cycle_end_timestamp_seconds{paper}"] == (FIRST + 4 * STEP) / 1000 + 9
    assert not [name for name in found if "live" in name]
    save_cycle(engine, 4, 300)
    assert told()["eightbells_drawdown_ratio{paper}"] == 0


def test_a_change_of_capital_moves_the_peak_of_the_drawdown_with_it(told: Told, engine: Engine) -> None:
    for slot, (equity, capital) in enumerate(((1000, 1000), (1100, 1000), (6100, 6000), (450, 500))):
        save_cycle(engine, slot, equity)
        with engine.begin() as connection:
            connection.execute(
                text("UPDATE cycles SET capital = :capital WHERE open_time = :opened"),
                {"capital": capital, "opened": grid.to_time(FIRST + slot * STEP)},
            )
        lost = {0: 0, 1: 0, 2: 0, 3: 1 - 450 / 600}[slot]
        assert told()["eightbells_drawdown_ratio{paper}"] == pytest.approx(lost)


def test_the_switch_drifts_and_what_is_held(told: Told, engine: Engine) -> None:
    order = planned_order(engine, proven_signal(engine))
    with engine.begin() as connection:
        bring(connection, order, State.SENDING, State.FILLED)
        connection.execute(
            text(
                "INSERT INTO fills VALUES ('paper', 'BTCUSDT', 1, :order, 'BUY', 100, 0.5, 50, 0, 'BNB', now())"
            ),
            {"order": order.id},
        )
        connection.execute(
            text(
                "INSERT INTO drifts (account, symbol, reason, facts, found_at, cleared_at) VALUES "
                "('paper', 'BTCUSDT', 'balance', '{}', now(), NULL), "
                "('paper', 'BTCUSDT', 'balance', '{}', now(), now())"
            )
        )
    set_switch(engine, False, "looking into it")
    found = told()
    assert found["eightbells_positions_value{paper}"] == 0.5 * 105.25
    assert found["eightbells_drifts_open{paper}"] == 1
    assert found["eightbells_trading_enabled"] == 0
    set_switch(engine, True, "found nothing")
    assert told()["eightbells_trading_enabled"] == 1


def test_what_processes_count_adds_up(told: Told, database: URL) -> None:
    for seconds in (0.3, 4):
        flush_elsewhere(
            database,
            "metrics.ORDERS_SENT.labels('BUY').inc(2)\n"
            f"metrics.REQUEST_DURATION.labels('klines').observe({seconds})",
        )
    found = told()
    assert found["eightbells_orders_sent_total{BUY}"] == 4
    assert found["binance_api_request_duration_seconds_count{klines}"] == 2
    assert found["binance_api_request_duration_seconds_sum{klines}"] == pytest.approx(4.3)
    assert found["binance_api_request_duration_seconds_bucket{klines,0.5}"] == 1
    assert found["binance_api_request_duration_seconds_bucket{klines,5.0}"] == 2


def test_a_process_that_has_read_nothing_leaves_the_readings_of_others_alone(
    told: Told, database: URL, engine: Engine
) -> None:
    metrics.STREAM_FALLBACK.set(1)
    metrics.LAST_BACKUP.set(1000)
    metrics.flush(engine)
    flush_elsewhere(database, "metrics.ORDERS_SENT.labels('BUY').inc()")
    assert told()["eightbells_stream_fallback"] == 1
    flush_elsewhere(database, "metrics.STREAM_FALLBACK.set(0); metrics.LAST_BACKUP.set(2000)")
    metrics.flush(engine)  # nothing was read here since
    found = told()
    assert (found["eightbells_stream_fallback"], found["eightbells_last_backup_timestamp_seconds"]) == (
        0,
        2000,
    )


def test_what_could_not_be_flushed_is_flushed_later(told: Told, engine: Engine) -> None:
    before = told()["eightbells_orders_sent_total{SELL}"]
    metrics.flush(engine)
    metrics.ORDERS_SENT.labels("SELL").inc()
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE metric_totals RENAME TO away"))
    with pytest.raises(Exception, match="metric_totals"):
        metrics.flush(engine)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE away RENAME TO metric_totals"))
    metrics.flush(engine)
    assert told()["eightbells_orders_sent_total{SELL}"] == before + 1
